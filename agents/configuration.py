"""The base of every configuration class: frozen, and closed to unknown keys."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Config(BaseModel):
    """A section of the configuration; it stands beside the code that reads it.

    A field's docstring states its unit, its effect and what None or 0 mean, once; Prefect's
    form shows it. Defaults live here only; profiles hold overrides.
    No number may be infinite: one that fits its bounds would still end in NaN hours later.
    The JSON schema is what Prefect draws the form of a deployment from: it names every field by
    its key, as `--set` and the pages do, and says where it stands.
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

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The class's JSON schema, made fit for Prefect's form."""
        schema = handler(core_schema)
        fields: dict[str, JsonSchemaValue] = handler.resolve_ref_schema(schema)["properties"]
        for position, key in enumerate(sorted(fields, key=cls._place)):
            fields[key].update(title=key, position=position)
            for choice in (fields[key], *fields[key].get("anyOf", ())):
                # The form's number boxes know no other bounds; the server refuses the bound itself.
                choice.update(_shown_bounds(choice))
        return schema

    @classmethod
    def _place(cls, key: str) -> tuple[bool, int]:
        """Where a form shows a field: sections last, and what a class adds to its base first."""
        bases = [base for base in cls.__mro__[1:] if issubclass(base, Config)]
        inherited = sum(key in base.model_fields for base in bases)
        kind = cls.model_fields[key].annotation
        return isinstance(kind, type) and issubclass(kind, Config), inherited


def _shown_bounds(schema: JsonSchemaValue) -> JsonSchemaValue:
    """The bounds of a number that itself lies outside of them, as bounds that lie inside."""
    names = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
    return {shown: schema[bound] for bound, shown in names.items() if bound in schema}
