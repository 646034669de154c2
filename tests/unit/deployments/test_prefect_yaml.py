"""`prefect.yaml` deploys what it says, with parameters that its flows take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.utilities.schema_tools.validation import validate

from agents.errors import ConfigError, UsageError
from deployments.prefect.installation import with_overrides
from deployments.prefect.manifest import FILE, Deployment, read_manifest
from deployments.prefect.pools import ROLES, usual_name
from deployments.prefect.profile_definitions import with_definitions
from deployments.prefect.registration import flow_of, parameter_schema_of
from flows.config import EvolutionConfig
from flows.profiles import load_profile
from flows.sweep import checked_members

STAGES = "construct cold-start filter rollout closed-book benchmark sft rl"


def by_name() -> dict[str, Deployment]:
    return {f"{flow_of(each).name}/{each.name}": each for each in read_manifest()}


DEPLOYMENTS = by_name()


def parameter_sets(deployment: Deployment) -> list[dict[str, Any]]:
    """Parameters that its runs start with, by hand and by each schedule."""
    own = deployment.parameters
    return [own, *({**own, **each.parameters} for each in deployment.schedules)]


def test_all_that_can_be_run_is_deployed() -> None:
    runs = ["evolve/laptop", "evolve/smoke", "evolve/paper", "evolve/nightly", "sweep/example"]
    parts = ["iteration", "rollout-part", *STAGES.split()]
    assert set(DEPLOYMENTS) == {*runs, *(f"{part}/stage" for part in parts)}


@pytest.mark.parametrize("profile", ["laptop", "smoke", "paper"])
def test_a_deployment_starts_with_its_profile(profile: str) -> None:
    config = DEPLOYMENTS[f"evolve/{profile}"].parameters["config"]
    assert EvolutionConfig.model_validate(config) == load_profile(profile)


def test_definitions_are_written_anew_from_the_profiles() -> None:
    """`make pages` would leave the file as it is."""
    text = FILE.read_text("utf-8")
    assert with_definitions(text) == text
    assert with_definitions(text.replace("model: tiny", "model: other")) == text


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_parameters_fit_the_schema_of_the_flow(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    flow = flow_of(deployment)
    schema = parameter_schema_of(flow)
    # Stages get a context and references from the run that sends them out.
    is_sent = not name.startswith(("evolve/", "sweep/"))
    for parameters in parameter_sets(deployment):
        faults = validate(parameters, schema, ignore_required=is_sent)
        assert not [f"{fault.json_path}: {fault.message}" for fault in faults]
        if not is_sent:
            flow.validate_parameters(parameters)


def test_schedules_wait_to_be_switched_on() -> None:
    schedules = [each for deployment in DEPLOYMENTS.values() for each in deployment.schedules]
    assert len(schedules) > 3
    assert not any(each.active for each in schedules)
    assert len({each.slug for each in schedules}) == len(schedules)


def test_each_night_is_one_further_iteration_of_one_run() -> None:
    deployment = DEPLOYMENTS["evolve/nightly"]
    assert deployment.parameters["name"] == "nightly"
    assert deployment.parameters["further_iterations"] == 1
    assert deployment.concurrency_limit is not None
    assert deployment.concurrency_limit.limit == 1


def test_every_sweep_has_members_that_can_run() -> None:
    names = set()
    for given in parameter_sets(DEPLOYMENTS["sweep/example"]):
        config = EvolutionConfig.model_validate(given["config"])
        members = checked_members(config, given["name"], given["grid"], (), 1)
        assert len(members) > 2
        names.add(given["name"])
    assert len(names) == 3


def test_parents_wait_in_a_pool_of_their_own() -> None:
    pools: dict[str, set[str]] = {}
    for name, each in DEPLOYMENTS.items():
        pools.setdefault(each.work_pool.name, set()).add(name.partition("/")[0])
    assert pools == {
        "evolve-control": {"evolve", "iteration", "sweep"},
        "evolve-cpu": {"construct", "cold-start", "filter"},
        "evolve-rollout": {"rollout", "rollout-part", "closed-book", "benchmark"},
        "evolve-train": {"sft", "rl"},
    }
    assert set(pools) == {usual_name(role) for role in ROLES}


def test_overrides_reach_every_configuration_and_nothing_else() -> None:
    overrides = {"execution.mode": "dispatch", "store.uri": "s3://bucket/runs"}
    changed = with_overrides(read_manifest(), overrides)
    for before, after in zip(read_manifest(), changed, strict=True):
        if "config" not in before.parameters:
            assert after == before
            continue
        profile = before.parameters["config"]["profile"]
        config = EvolutionConfig.model_validate(after.parameters["config"])
        assert config == load_profile(profile, overrides)
        assert "sentinels" not in after.parameters["config"]  # defaults are the form's matter


def test_an_override_that_is_no_key_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown config key 'rl\.steps'"):
        with_overrides(read_manifest(), {"rl.steps": 3})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schedule": {"cron": "* * * * *"}}, r"flows\.evolve\.evolve \(laptop\)\.schedule: Extra"),
        ({"tags": ["mine"]}, "expected 'evolvesearch' among them"),
        ({"schedules": [{"slug": "often"}]}, "expected one of cron, interval and rrule"),
        ({"entrypoint": "flows/evolve.py:evolve"}, r"entrypoint: String should match"),
        ({"concurrency_limit": {"limit": 0}}, "greater than or equal to 1"),
    ],
)
def test_a_fault_is_named_with_its_deployment(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    document = yaml.safe_load(FILE.read_text("utf-8"))
    document["deployments"][0].update(change)
    file = tmp_path / "prefect.yaml"
    file.write_text(yaml.safe_dump(document), "utf-8")
    with pytest.raises(ConfigError, match=said) as caught:
        read_manifest(file)
    assert "(laptop)" in str(caught.value)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*no\.yaml: No such file"):
        read_manifest(tmp_path / "no.yaml")
    (tmp_path / "bad.yaml").write_text("deployments: [", "utf-8")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        read_manifest(tmp_path / "bad.yaml")


def test_an_entry_point_without_a_flow_is_named() -> None:
    deployment = DEPLOYMENTS["sft/stage"].model_copy(update={"entrypoint": "flows.stages.none"})
    with pytest.raises(ConfigError, match=r"no flow at flows\.stages\.none"):
        flow_of(deployment)
