"""`evolvesearch deploy`, `worker` and `serve`: what their options mean, and how they fail."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from deployments.cli.deploy import deploy, pools_of
from deployments.cli.main import cli, execute
from deployments.prefect.connection import api_url
from deployments.prefect.manifest import read_manifest
from deployments.prefect.serving import matching

ROOT = Path(__file__).resolve().parents[3]
NOBODY = "http://127.0.0.1:9/api"
COMPOSE = yaml.safe_load((ROOT / "deployments/docker/compose.yaml").read_text("utf-8"))


def pools(**options: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = dict.fromkeys(("names", "types", "concurrency", "images"), ())
    return {each.role: each for each in pools_of(**{**nothing, "workdir": None, **options})}


def test_a_value_without_a_role_is_for_all_and_one_with_it_counts_more() -> None:
    made = pools(
        types=["train=docker", "kubernetes"],
        images=["evolvesearch:cuda", "cpu=evolvesearch:cpu"],
        names=["rollout=gpus"],
        concurrency=["train=2"],
    )
    assert {role: each.type for role, each in made.items()} == {
        "control": "kubernetes",
        "cpu": "kubernetes",
        "rollout": "kubernetes",
        "train": "docker",
    }
    assert made["cpu"].image == "evolvesearch:cpu"
    assert made["train"].image == "evolvesearch:cuda"
    assert made["rollout"].name == "gpus"
    assert (made["train"].concurrency, made["rollout"].concurrency) == (2, None)
    assert made["train"].working_dir is None


def test_jobs_of_process_pools_start_where_the_command_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert {each.working_dir for each in pools().values()} == {str(tmp_path)}
    assert pools(workdir="/srv")["cpu"].working_dir == "/srv"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["deploy", "server"], "unknown part 'server'; expected pools, deployments, automations"),
        (["deploy", "--pool", "gpu=x"], "--pool 'gpu=x': expected ROLE=VALUE, with a ROLE of"),
        (["deploy", "--concurrency", "train=0"], "expected a number of jobs, 1 or more"),
        (["deploy", "--set", "rl.steps=1"], "unknown config key 'rl.steps'"),
        (["deploy", "--file", "none.yaml"], "cannot read none.yaml"),
        (["deploy", "--server", "host:4200"], "server 'host:4200': expected a URL such as"),
        (["worker", "cpu", "cpu"], "pool 'cpu' is named twice"),
        (["serve", "evolve/none"], "no deployment 'evolve/none'; expected one of"),
    ],
)
def test_bad_usage_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute([*arguments, *([] if "--server" in arguments else ["--server", NOBODY])]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert said in error
    assert "\n" not in error


@pytest.mark.parametrize("command", ["deploy", "worker", "serve"])
def test_without_a_server_it_is_said_how_to_get_one(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute([command, "--server", NOBODY]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"error: no Prefect server answers at {NOBODY}")
    assert "make server" in error


def test_the_server_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    assert api_url("http://host:4200") == "http://host:4200/api"
    assert api_url("https://host/prefect/api/") == "https://host/prefect/api"


def test_patterns_choose_what_is_served() -> None:
    chosen = matching(read_manifest(), ["evolve/*", "sweep/*"])
    assert [each.name for each in chosen] == ["laptop", "smoke", "paper", "nightly", "example"]


def parses(words: list[str]) -> None:
    """Fails where a command line is none of ours; runs nothing."""
    assert words[0] == "evolvesearch"
    command = cli.get_command(click.Context(cli), words[1])
    assert command is not None, words
    command.make_context(words[1], list(words[2:]))


def test_commands_of_images_units_and_make_are_commands() -> None:
    commands = [
        each["command"]
        for each in COMPOSE["services"].values()
        if each.get("command", [""])[0] == "evolvesearch"
    ]
    assert len(commands) == 4
    unit = (ROOT / "deployments/systemd/evolvesearch-worker@.service").read_text("utf-8")
    line = re.findall(r"^ExecStart=\S+/(evolvesearch .*)$", unit, re.MULTILINE)[0]
    commands.append(
        shlex.split(line.replace("%i", "train").replace("$WORKER_OPTIONS", "--limit 1"))
    )
    recipes = (ROOT / "Makefile").read_text("utf-8")
    made = re.findall(r"\$\(BIN\)/(evolvesearch (?:deploy|worker).*)$", recipes, re.MULTILINE)
    assert len(made) == 5
    commands += [shlex.split(re.sub(r"\$\(\w+\)", "x", each).replace(" x", "", 0)) for each in made]
    worker = yaml.safe_load_all((ROOT / "deployments/kubernetes/worker.yaml").read_text("utf-8"))
    [deployment] = [each for each in worker if each["kind"] == "Deployment"]
    commands.append(deployment["spec"]["template"]["spec"]["containers"][0]["args"])
    for words in commands:
        parses(words)


def test_an_option_that_is_none_would_be_noticed() -> None:
    with pytest.raises(click.NoSuchOption):
        parses(["evolvesearch", "deploy", "--stores", "x"])
    assert deploy.name == "deploy"
