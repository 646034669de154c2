"""What doctor finds beyond the machine: versions, the store, Prefect's server and its pools."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from pathlib import Path

import pytest

from deployments.cli import services, versions
from deployments.cli.checks import Check
from deployments.prefect import state as prefect_state
from deployments.prefect.state import PoolState, PrefectState, Zombie
from flows.config import EvolutionConfig
from tasks.storage.config import StoreConfig

POOL = PoolState("evolve-train", "process", False, ("host-1",), 0, 1)
STATE = PrefectState("http://h/api", "3.8.8", "3.8.8", (POOL,), (), ("end zombies",))
INLINE = EvolutionConfig()
DISPATCH = EvolutionConfig.model_validate({"execution": {"mode": "dispatch"}})


def of_prefect(
    monkeypatch: pytest.MonkeyPatch, state: PrefectState | None, config: EvolutionConfig = INLINE
) -> dict[str, Check]:
    """The checks of a server in this state, None where none is named."""
    monkeypatch.setattr(prefect_state, "named_server", lambda: state and state.api_url)
    monkeypatch.setattr(prefect_state, "read_prefect", lambda _: state)
    return {check.name: check for check in services.prefect(config)}


def test_versions_that_differ_are_named(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    click_version = importlib.metadata.version("click")
    constraints.write_text(f"# tested\nclick=={click_version}\nno-such-package==1.0\n")
    assert versions.as_tested(constraints).status == "ok"
    constraints.write_text("click==0.0.1\n")
    check = versions.as_tested(constraints)
    assert check.status == "warn"
    assert check.found == f"click {click_version} (tested: 0.0.1)"


def test_a_build_of_the_tested_version_is_the_tested_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("torch==2.13.0\n")
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "2.13.0+cpu")
    assert versions.as_tested(constraints).status == "ok"


def test_a_store_that_is_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    check = services.store(StoreConfig(uri=str(tmp_path / "store")))
    assert check.status == "fail"
    assert "expected a folder" in check.found


def test_a_store_that_is_not_there_yet_is_fine_and_is_not_made(tmp_path: Path) -> None:
    assert services.store(StoreConfig(uri=str(tmp_path / "store"))).status == "ok"
    assert list(tmp_path.iterdir()) == []


def test_versions_that_are_known_to_clash_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    assert versions.that_work_together().status == "ok"
    found = {"prefect": "3.8.8", "fastapi": "0.155.0"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: found[name])
    check = versions.that_work_together()
    assert check.status == "fail"
    assert "prefect 3.8.8 with fastapi 0.155.0" in check.found
    for name, works in (("fastapi", "0.150.0"), ("prefect", "3.9.1")):
        monkeypatch.setitem(found, name, works)
        assert versions.that_work_together().status == "ok"
        monkeypatch.setitem(found, "fastapi", "0.156.1")
    assert versions.version("3.10.0rc1") > versions.version("3.9.2")


def test_without_a_server_a_run_starts_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert of_prefect(monkeypatch, None)["prefect"].status == "ok"
    check = of_prefect(monkeypatch, None, DISPATCH)["prefect"]
    assert check.status == "fail"
    assert "make server" in check.hint


def test_a_server_where_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of_prefect(monkeypatch, STATE, DISPATCH)
    assert {name: check.status for name, check in found.items()} == {
        "prefect": "ok",
        "pool evolve-train": "ok",
        "zombie automation": "ok",
        "zombies": "ok",
    }
    assert found["pool evolve-train"].found == "1 worker online, 1 running, 0 late"


@pytest.mark.parametrize(
    ("server", "status"),
    [("3.8.2", "ok"), ("3.9.0", "warn"), ("3.7.9", "fail"), ("2.20.1", "fail")],
)
def test_a_server_of_another_version(
    server: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = of_prefect(monkeypatch, replace(STATE, server_version=server))["prefect"]
    assert check.status == status
    assert server in check.found
    assert bool(check.hint) == (status != "ok")


@pytest.mark.parametrize(
    ("changes", "config", "status", "words"),
    [
        ({"workers": ()}, DISPATCH, "warn", "evolvesearch worker evolve-train"),
        ({"workers": ()}, INLINE, "ok", ""),
        ({"workers": (), "late": 2}, INLINE, "warn", "evolvesearch worker evolve-train"),
        ({"late": 2}, INLINE, "warn", "busy"),
        ({"paused": True}, INLINE, "warn", "prefect work-pool resume evolve-train"),
    ],
)
def test_a_pool_where_something_is_amiss(
    changes: dict[str, object],
    config: EvolutionConfig,
    status: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = replace(STATE, pools=(replace(POOL, **changes),))
    check = of_prefect(monkeypatch, state, config)["pool evolve-train"]
    assert check.status == status
    assert words in check.hint


def test_no_pools_are_in_the_way_of_dispatch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    state = replace(STATE, pools=(), zombie_automations=())
    found = of_prefect(monkeypatch, state)
    assert {found[name].status for name in ("pools", "zombie automation")} == {"ok"}
    assert of_prefect(monkeypatch, state, DISPATCH)["pools"].status == "fail"


def test_zombies_and_the_lack_of_what_ends_them_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    zombie = Zombie("0123", "sft 1", "evolve-train", "2026-01-02T03:04:05+00:00")
    found = of_prefect(monkeypatch, replace(STATE, zombies=(zombie,), zombie_automations=()))
    assert found["zombies"].status == "warn"
    assert found["zombies"].hint == "prefect flow-run cancel 0123"
    assert found["zombie automation"].status == "warn"
    assert found["zombie automation"].hint == "evolvesearch deploy"
