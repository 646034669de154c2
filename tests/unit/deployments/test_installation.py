"""Setting a server up: what is made, what is left alone, what is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fake_prefect import FakePrefect

from agents.errors import ConfigError, UsageError
from deployments.prefect.automations import NAME, zombie_automation
from deployments.prefect.changes import Change
from deployments.prefect.installation import install, lost_stores, with_overrides
from deployments.prefect.manifest import Deployment, read_manifest
from deployments.prefect.pools import ROLES, Pool, ensure_pool, usual_name

POOLS = [Pool(role, usual_name(role), working_dir="/srv/evolve") for role in ROLES]
DEPLOYMENTS = [each for each in read_manifest() if each.name in ("smoke", "example")]


def setting_up(
    server: Any, deployments: list[Deployment] = DEPLOYMENTS, **more: Any
) -> list[Change]:
    return list(install(server, POOLS, deployments, **more))


def test_a_second_time_nothing_is_changed() -> None:
    server = FakePrefect()
    first = setting_up(server)
    assert [each.action for each in first] == ["created"] * 7
    assert [each.kind for each in first] == ["pool"] * 4 + ["deployment"] * 2 + ["automation"]
    made = list(server.calls)
    assert {each.action for each in setting_up(server)} == {"unchanged"}
    assert server.calls == made


def test_a_rehearsal_tells_the_same_and_changes_nothing() -> None:
    server = FakePrefect()
    told = setting_up(server, dry_run=True)
    assert not server.calls
    assert told == setting_up(server)
    changed = with_overrides(DEPLOYMENTS, {"seed": 7})
    before = list(server.calls)
    [update, *_] = setting_up(server, changed, parts=["deployments"], dry_run=True)
    assert update == Change("deployment", "evolve/smoke", "updated", ("parameters",))
    assert server.calls == before


def test_jobs_send_signs_of_life_and_start_in_the_folder() -> None:
    server = FakePrefect()
    setting_up(server, parts=["pools"])
    assert list(server.pools) == ["evolve-control", "evolve-cpu", "evolve-rollout", "evolve-train"]
    for pool in server.pools.values():
        variables = pool.base_job_template["variables"]["properties"]
        assert variables["env"]["default"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
        assert variables["working_dir"]["default"] == "/srv/evolve"


def test_what_was_set_in_a_pool_by_hand_stays() -> None:
    server = FakePrefect()
    ensure_pool(server, POOLS[0], dry_run=False)
    template = server.pools["evolve-control"].base_job_template
    template["variables"]["properties"]["env"]["default"]["MINE"] = "kept"
    template["variables"]["properties"]["stream_output"]["default"] = False
    limited = replace(POOLS[0], working_dir="/elsewhere", concurrency=3)
    change = ensure_pool(server, limited, dry_run=False)
    assert change.fields == ("base_job_template", "concurrency_limit")
    pool = server.pools["evolve-control"]
    variables = pool.base_job_template["variables"]["properties"]
    assert variables["env"]["default"]["MINE"] == "kept"
    assert variables["stream_output"]["default"] is False
    assert variables["working_dir"]["default"] == "/elsewhere"
    assert pool.concurrency_limit == 3
    # Without a number the limit stays as it is.
    assert ensure_pool(server, replace(limited, concurrency=None), dry_run=False).fields == ()


def test_a_pool_cannot_change_its_type() -> None:
    server = FakePrefect()
    ensure_pool(server, POOLS[3], dry_run=False)
    with pytest.raises(UsageError, match=r"is of type process, not docker.*--type train=process"):
        ensure_pool(server, replace(POOLS[3], type="docker"), dry_run=False)


def test_pools_of_other_types_have_prefects_template_with_the_image() -> None:
    server = FakePrefect()
    docker = Pool("train", "gpu-large", type="docker", image="evolvesearch:cuda")
    ensure_pool(server, docker, dry_run=False)
    variables = server.pools["gpu-large"].base_job_template["variables"]["properties"]
    assert variables["image"]["default"] == "evolvesearch:cuda"
    assert variables["env"]["default"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    with pytest.raises(UsageError, match="of type docker have no working_dir"):
        ensure_pool(server, replace(docker, name="b", working_dir="/srv"), dry_run=False)
    with pytest.raises(UsageError, match="unknown type of work pool 'slurm'; expected docker"):
        ensure_pool(server, replace(docker, name="c", type="slurm"), dry_run=False)


def test_deployments_go_to_the_pool_of_their_role() -> None:
    server = FakePrefect()
    pools = [replace(POOLS[0], name="mine"), *POOLS[1:]]
    list(install(server, pools, DEPLOYMENTS))
    assert server.deployments["evolve/smoke"].work_pool_name == "mine"
    elsewhere = DEPLOYMENTS[0].model_copy(
        update={"work_pool": DEPLOYMENTS[0].work_pool.model_copy(update={"name": "other"})}
    )
    with pytest.raises(ConfigError, match="is in work pool 'other'; expected evolve-control"):
        list(install(server, pools, [elsewhere]))


def test_only_what_differs_is_sent() -> None:
    server = FakePrefect()
    setting_up(server)
    server.deployments["evolve/smoke"].tags = ["evolvesearch"]
    server.deployments["evolve/smoke"].description = "another"
    [change, _] = setting_up(server, parts=["deployments"])
    assert change.fields == ("description", "tags")
    assert server.calls[-1] == "update deployment evolve/smoke: description tags"


def test_a_schedule_that_was_switched_on_stays_on() -> None:
    server = FakePrefect()
    setting_up(server)
    [sweep] = [each for each in DEPLOYMENTS if each.name == "example"]
    server.deployments["sweep/example"].schedules[0].active = True
    assert setting_up(server, parts=["deployments"])[1].action == "unchanged"
    later = sweep.schedules[0].model_copy(update={"cron": "0 21 * * 5"})
    changed = sweep.model_copy(update={"schedules": [later, *sweep.schedules[1:]]})
    [change] = setting_up(server, [changed], parts=["deployments"])
    assert change.fields == ("schedules",)
    schedules = server.deployments["sweep/example"].schedules
    assert [each.active for each in schedules] == [True, False, False]
    assert schedules[0].schedule.cron == "0 21 * * 5"


def test_the_automation_is_for_our_runs_alone_and_stays_off_where_it_was_switched_off() -> None:
    server = FakePrefect()
    setting_up(server, parts=["automations"])
    [automation] = server.automations
    trigger = automation.trigger.model_dump(mode="json")
    assert trigger["match_related"]["prefect.resource.id"] == "prefect.tag.evolvesearch"
    assert (trigger["posture"], trigger["within"]) == ("Proactive", 90.0)
    assert "prefect.flow-run.heartbeat" in trigger["expect"]
    assert automation.actions[0].model_dump(mode="json")["state"] == "CRASHED"
    server.automations = [automation.model_copy(update={"enabled": False, "description": "old"})]
    [change] = setting_up(server, parts=["automations"])
    assert change == Change("automation", NAME, "updated", ("description",))
    assert server.automations[0].enabled is False
    assert server.automations[0].description == zombie_automation().description


def test_a_folder_as_store_of_containers_is_warned_of() -> None:
    assert not list(lost_stores(POOLS, DEPLOYMENTS))
    contained = [replace(POOLS[0], type="kubernetes", working_dir=None), *POOLS[1:]]
    [warning] = lost_stores(contained, DEPLOYMENTS)
    assert "jobs of evolve-control run in containers" in warning
    assert not list(lost_stores(contained, with_overrides(DEPLOYMENTS, {"store.uri": "s3://b/p"})))
