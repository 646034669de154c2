"""The forms of all deployments, as Prefect's UI draws them from the flows' parameters.

They are complete, ordered, bounded and described, and ask for nothing that the UI cannot draw.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any, Literal, get_origin

import pytest
from prefect import Flow
from prefect.utilities.callables import parameter_schema

import flows
from agents.configuration import Config
from deployments.prefect.manifest import read_manifest
from flows.config import EvolutionConfig
from flows.profiles import load_profile

NUMBERS = {"integer", "number"}


def _flows() -> dict[str, Flow]:
    found = {}
    for module in pkgutil.iter_modules(flows.__path__, "flows."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Flow):
                found[value.name] = value
    return found


FLOWS = _flows()
SCHEMAS = {name: parameter_schema(flow).model_dump() for name, flow in FLOWS.items()}
"""What `prefect deploy` sends to the server."""


def _objects() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every form, and every section of one, by a name for messages."""
    for flow, schema in SCHEMAS.items():
        yield flow, schema
        for name, section in schema["definitions"].items():
            yield f"{flow}: {name}", section


def _fields() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, section in _objects():
        for key, field in section["properties"].items():
            yield f"{name}.{key}", field


def _choices(field: dict[str, Any]) -> list[dict[str, Any]]:
    return field.get("anyOf", [field])


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_holds_the_schema_that_its_deployment_sends(name):
    held = FLOWS[name].parameters.model_dump()
    assert held == SCHEMAS[name]
    assert list(held["properties"]) == list(SCHEMAS[name]["properties"])


def test_there_are_the_flows_that_are_deployed():
    stages = {"construct", "closed-book", "cold-start", "rollout", "filter", "sft", "rl"}
    assert {"evolve", "iteration", "benchmark"} | stages <= set(FLOWS)
    assert sum(1 for name, _ in _fields() if name.startswith("evolve: ")) > 200


def test_every_field_is_described():
    assert [name for name, field in _fields() if not field.get("description")] == []
    assert [name for name, flow in FLOWS.items() if not flow.description] == []


def test_every_field_has_a_place_of_its_own():
    for name, section in _objects():
        places = [field["position"] for field in section["properties"].values()]
        assert sorted(places) == list(range(len(places))), name


def test_every_field_is_called_by_its_key():
    wrong = [name for name, field in _fields() if field.get("title") != name.rsplit(".", 1)[1]]
    assert wrong == []


def test_the_configuration_stands_last_and_its_sections_behind_its_plain_fields():
    for name, schema in SCHEMAS.items():
        keys = sorted(schema["properties"], key=lambda key: schema["properties"][key]["position"])
        assert keys[-1] == "config", name
    for name, section in _objects():
        by_place = sorted(section["properties"].values(), key=lambda field: field["position"])
        sections = ["$ref" in field for field in by_place]
        assert sections == sorted(sections) or name in FLOWS, name


def test_the_plain_fields_of_the_run_stand_first():
    fields = SCHEMAS["evolve"]["definitions"]["EvolutionConfig"]["properties"]
    keys = sorted(fields, key=lambda key: fields[key]["position"])
    assert keys[:6] == [
        "profile",
        "iterations",
        "stop_after_failures",
        "seed",
        "model",
        "execution",
    ]


def test_every_number_is_bounded_as_the_form_can_show_it():
    for name, field in _fields():
        for choice in _choices(field):
            if choice.get("type") in NUMBERS and not name.startswith(tuple(FLOWS)):
                assert {"minimum", "maximum"} & set(choice), name
            # The boxes of numbers know these two alone.
            assert "exclusiveMinimum" not in choice or "minimum" in choice, name
            assert "exclusiveMaximum" not in choice or "maximum" in choice, name


def test_nothing_is_a_union_but_of_a_value_or_list_and_none():
    # Of anything else the form draws tabs that show too little: of an object with free keys,
    # nothing at all.
    for name, field in _fields():
        if "anyOf" in field:
            first, *others = field["anyOf"]
            assert others == [{"type": "null"}], name
            assert first.get("type") in NUMBERS | {"string", "boolean", "array"}, name
        assert not {"oneOf", "allOf", "prefixItems"} & set(field), name


def test_sections_are_closed_to_unknown_keys():
    opened = [
        name
        for name, section in _objects()
        if name not in FLOWS and section.get("additionalProperties") is not False
    ]
    assert opened == []


def _classes(model: type[Config]) -> Iterator[type[Config]]:
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
            yield from _classes(field.annotation)


def test_a_choice_of_words_is_a_list_to_select_from():
    definitions = SCHEMAS["evolve"]["definitions"]
    choices = 0
    for model in set(_classes(EvolutionConfig)):
        for key, field in model.model_fields.items():
            if get_origin(field.annotation) is Literal:
                choices += 1
                assert definitions[model.__name__]["properties"][key]["enum"], key
    assert choices > 20


def _submitted(schema: dict[str, Any], field: dict[str, Any], given: Any) -> Any:
    """What the form sends for a field: what was given, and the schema's defaults for the rest."""
    field = {**schema["definitions"].get(field.get("$ref", "").rsplit("/", 1)[-1], {}), **field}
    value = field.get("default") if given is None else given
    if not field.get("properties"):
        return value
    return {
        key: _submitted(schema, each, (value or {}).get(key))
        for key, each in field["properties"].items()
    }


EVOLVE = [each for each in read_manifest() if each.entrypoint == "flows.evolve.evolve"]


@pytest.mark.parametrize("deployment", EVOLVE, ids=[each.name for each in EVOLVE])
def test_a_form_that_is_sent_as_it_opens_runs_the_profile(deployment):
    schema, given = SCHEMAS["evolve"], deployment.parameters["config"]
    sent = _submitted(schema, schema["properties"]["config"], given)
    assert EvolutionConfig.model_validate(sent) == load_profile(given["profile"])
