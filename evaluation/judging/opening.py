"""Opens the judge that a configuration names, or a few words on the command line."""

from __future__ import annotations

from typing import get_args

from agents.errors import UsageError
from evaluation.judging.config import JudgeConfig, PromptName
from evaluation.judging.marks import Judge, VerdictCache
from evaluation.judging.rules import RulesJudge


def open_judge(
    config: JudgeConfig, cache: VerdictCache | None = None, section: str = "benchmark.judge"
) -> Judge:
    """Opens a judge; the caller closes it.

    Args:
        config: Which judge.
        cache: Where its verdicts are kept and found again; None keeps them while it is open.
        section: Name of `config` in the configuration, for errors.

    Raises:
        UsageError: The environment has no key.
    """
    if config.kind == "rules":
        return RulesJudge()
    from evaluation.judging.api import ApiJudge

    return ApiJudge(config, cache, section)


def named_judge(name: str, config: JudgeConfig, section: str = "benchmark.judge") -> JudgeConfig:
    """The judge that a person names: `rules`, `api`, `api:MODEL`, `PROMPT` or `PROMPT:MODEL`.

    Args:
        name: The name, such as `simpleqa:gpt-4o-mini`.
        config: Where prompt, model and all else are taken from that the name leaves open.
        section: Name of `config` in the configuration, for errors.

    Raises:
        UsageError: There is no such judge, or no model is named.
    """
    kind, _, model = name.partition(":")
    prompts = get_args(PromptName)
    if name == "rules":
        return config.model_copy(update={"kind": "rules"})
    if kind != "api" and kind not in prompts:
        raise UsageError(
            f"unknown judge {name!r}: expected rules, api, api:MODEL, or PROMPT:MODEL with one "
            f"of the prompts {', '.join(prompts)}"
        )
    model = model or config.api.model
    if not model:
        raise UsageError(
            f"judge {name!r} has no model: expected {kind}:MODEL, or set {section}.api.model"
        )
    update = {"kind": "api", "api": config.api.model_copy(update={"model": model})}
    if kind in prompts:
        update["prompt"] = kind
    return config.model_copy(update=update)
