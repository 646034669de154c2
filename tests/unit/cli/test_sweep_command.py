"""`evolvesearch sweep`: what it is told, and how it ends."""

from __future__ import annotations

import json

import pytest

from deployments.cli.main import execute

SWEEP = ["sweep", "--profile", "smoke"]


@pytest.fixture
def variants(tmp_path):
    file = tmp_path / "variants.toml"
    file.write_text(
        """
        [grid]
        "rl.learning_rate" = [1e-5, 2e-5]
        [grid.benchmark]
        names = [["more_hops"], ["unseen_kind"]]
        [[configs]]
        "rl.enabled" = false
        [[configs]]
        sft.num_epochs = 2
        """
    )
    return file


def test_a_dry_run_shows_the_members_and_starts_nothing(capfd, tmp_path):
    words = [
        "--grid",
        "rl.num_steps=3,4",
        "-g",
        "seed=0,1",
        "--dry-run",
        "--store",
        f"{tmp_path}/s",
    ]
    assert execute([*SWEEP, *words, "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert [row["settings"] for row in document["members"]] == [
        {"rl.num_steps": steps, "seed": seed} for steps in (3, 4) for seed in (0, 1)
    ]
    assert execute([*SWEEP, *words]) == 0
    shown = capfd.readouterr().out
    assert all(row["run"] in shown for row in document["members"])
    assert "rl.num_steps" in shown
    assert not (tmp_path / "s").exists()


def test_a_file_holds_grid_and_list(capfd, variants):
    assert execute([*SWEEP, "--config", str(variants), "--dry-run", "--json"]) == 0
    members = json.loads(capfd.readouterr().out)["members"]
    assert len(members) == 8
    assert members[0]["settings"] == {
        "rl.enabled": False,
        "rl.learning_rate": 1e-5,
        "benchmark.names": ["more_hops"],
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "something to vary"),
        (["--grid", "rl.num_step=1"], "unknown config key 'rl.num_step'"),
        (["--grid", "seed"], "expected KEY=V1,V2"),
        (["--grid", "seed="], "expected KEY=V1,V2"),
        (["--grid", "seed=[1,"], "not valid TOML"),
        (["--grid", "seed=0", "--grid", "seed=1"], "--grid seed: it is given twice"),
        (["--grid", "seed=0,1", "--max-concurrent", "2"], "execution.mode is 'inline'"),
        (["--grid", "seed=0,x"], "config key 'seed': got 'x'"),
        (["--grid", "seed=0,1", "--name", "a b"], "sweep name 'a b'"),
        (["--config", "absent.toml"], "'absent.toml' does not exist"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_runs(capfd, words, message, tmp_path):
    assert execute([*SWEEP, *words, "--store", f"{tmp_path}/s"]) == 2
    shown = capfd.readouterr()
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grids = {}", "unknown key 'grids'"),
        ("configs = [1]", "expected a table"),
        ("grid = [1]", "expected a table"),
        ("[grid", "variants.toml"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(capfd, variants, text, message):
    variants.write_text(text)
    assert execute([*SWEEP, "--config", str(variants), "--dry-run"]) == 2
    assert message in capfd.readouterr().err


def row(number: int, **more) -> dict:
    return {
        "number": number,
        "run": f"s-{number}",
        "settings": {"seed": number},
        "status": "done",
        "error": "",
        "reused": False,
        "wall_s": 12.0,
        "policy": "d" * 64,
        "benchmarks": {"more_hops": {"accuracy": 0.25}},
        "average": 0.25,
        "ci_low": 0.1,
        "ci_high": 0.5,
        "gate_accuracy": 0.5,
        "difference": None,
        **more,
    }


def test_the_exit_code_says_whether_a_member_failed(capfd, monkeypatch):
    from flows import sweep as sweeps

    best = {"run": "s-1", "policy": "d" * 64, "setting": "as configured", "reason": "of luck."}
    failed = row(2, status="failed", error="no luck", average=None, ci_low=None, benchmarks={})
    document = {"sweep": "s", "members": [row(1)], "best": best, "failed": [], "wall_s": 1.0}
    asked = {}

    def run_sweep(config, grid, configs, name, **more):
        asked.update(more, grid=grid, name=name)
        return document

    monkeypatch.setattr(sweeps, "run_sweep", run_sweep)
    words = [*SWEEP, "--grid", "seed=1,2", "--name", "s", "--max-concurrent", "3"]
    assert execute(words) == 0
    shown = capfd.readouterr()
    assert "25.0" in shown.out
    assert "Best: as configured, policy dddddddddddd of run s-1: of luck." in shown.out
    assert (asked["grid"], asked["name"], asked["max_concurrent"]) == (
        {"seed": ["1", "2"]},
        "s",
        3,
    )
    document |= {"members": [row(1), failed], "failed": ["s-2"], "best": None}
    assert execute(words) == 1
    assert "failed: s-2: no luck" in capfd.readouterr().err
    assert execute([*words, "--json"]) == 1
    assert json.loads(capfd.readouterr().out)["failed"] == ["s-2"]
