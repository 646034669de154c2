"""The base of every configuration class: frozen, and closed to unknown keys."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator


class Config(BaseModel):
    """A section of the configuration; it stands beside the code that reads it.

    A field's docstring states its unit, its effect and what None or 0 mean, once; Prefect's
    form shows it. Defaults live here only; profiles hold overrides.
    No number may be infinite: one that fits its bounds would still end in NaN hours later.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    main_key: ClassVar[str] = ""
    """The key that a text in place of the whole section sets; empty where none may stand there."""

    @model_validator(mode="before")
    @classmethod
    def _main_key_alone(cls, given: Any) -> Any:
        return {cls.main_key: given} if cls.main_key and isinstance(given, str) else given
