"""Which judge says whether an answer is right; free of anything heavy."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from agents.configuration import Config
from agents.engines.config import OpenAiConfig

PromptName = Literal["deepresearcher", "webdancer", "simpleqa"]


class JudgeConfig(Config):
    """Who says whether an answer is right."""

    main_key: ClassVar[str] = "kind"

    kind: Literal["rules", "api"] = "rules"
    """`rules`: by rule, as accuracy is scored; needs no key. `api`: a model behind any API with
    OpenAI's chat completions, better of another family than the policy's."""
    prompt: PromptName = "deepresearcher"
    """What a model is asked. `deepresearcher`: a rationale, then correct or incorrect (its MBE);
    `webdancer`: whether the answer is equivalent to the right one; `simpleqa`: correct, incorrect
    or not attempted (SimpleQA's grader)."""
    api: OpenAiConfig = OpenAiConfig()
    """The model of kind `api`. A spent `budget` stops the stage; the verdicts so far are kept, so
    that a higher budget goes on from there."""
    max_tokens: int = Field(default=512, ge=16)
    """Most tokens of one verdict; a model that thinks before it answers needs thousands."""
    num_retries: int = Field(default=1, ge=0)
    """How often a model whose reply is not the JSON that was asked for is reminded of it; after
    that the answer is unjudged. Failures of the network are repeated by `api.max_retries`."""
    concurrency: int = Field(default=8, ge=1)
    """Most questions to the model at once."""

    @model_validator(mode="after")
    def _has_a_model(self) -> Self:
        if self.kind == "api" and not self.api.model:
            raise ValueError("kind api needs api.model, the model's name at the API")
        return self

    @property
    def that_matters(self) -> dict[str, Any]:
        """The settings that verdicts depend on; prices, patience and speed are not among them."""
        if self.kind == "rules":
            return {"kind": self.kind}
        return {
            "kind": self.kind,
            "prompt": self.prompt,
            "model": self.api.model,
            "url": self.api.url,
            "max_tokens": self.max_tokens,
            "num_retries": self.num_retries,
        }
