"""What is sent to a worker, under which key, and what is said of how it ended."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.states import Cancelled, Crashed, Failed

from agents.errors import SentinelTrippedError, StageError, StoppedError, UsageError
from flows import dispatch
from flows.dispatch import error_of, order_of, perform
from flows.handover import Ended, Order
from flows.profiles import load_profile, with_settings
from flows.stages import ADAPTERS, benchmark, filter_, rl, rollout, rollout_part, sft
from tasks.config import StageContext

CONTEXT = StageContext(run="night", iteration=2)
INPUTS = {"questions": "construct-1/questions", "policy": "sft-2/policy"}


def config_of(**settings: Any):
    return load_profile("smoke", {"store.uri": "/somewhere", **settings})


def key_of(config=None, context=CONTEXT, inputs=INPUTS, stage=rollout) -> str:
    return order_of(stage, config or config_of(), context, inputs).key


def test_the_same_order_has_the_same_key_however_it_is_executed():
    first = key_of()
    assert first.startswith("night/2/rollout//")
    execution = {"execution.mode": "dispatch", "execution.rollout_gpus": 8, "execution.poll_s": 2}
    assert key_of(config_of(**execution)) == first
    # A run that is started again has another time, which nothing is held to.
    assert key_of(context=CONTEXT.model_copy(update={"fresh_since": "2026-01-01"})) == first


def test_whatever_may_change_the_result_changes_the_key():
    redone = CONTEXT.model_copy(update={"redo": ("rollout",), "fresh_since": "2026-01-01"})
    later = redone.model_copy(update={"fresh_since": "2026-01-02"})
    keys = [
        key_of(),
        key_of(config_of(seed=7)),
        key_of(inputs={**INPUTS, "policy": "rl-3/policy"}),
        key_of(context=CONTEXT.model_copy(update={"iteration": 3})),
        key_of(context=CONTEXT.model_copy(update={"subject": "base"})),
        key_of(context=redone),
        key_of(context=later),
        key_of(inputs={**INPUTS, "part": 1, "parts": 2}, stage=rollout_part),
        key_of(inputs={**INPUTS, "part": 2, "parts": 2}, stage=rollout_part),
        key_of(inputs={**INPUTS, "gate": True}, stage=benchmark),
        key_of(inputs={**INPUTS, "gate": False}, stage=benchmark),
    ]
    assert len(set(keys)) == len(keys)


def test_a_child_gets_an_absolute_store_and_parameters_that_are_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    order = order_of(rollout, config_of(**{"store.uri": "runs/store"}), CONTEXT, INPUTS)
    assert order.parameters["config"]["store"]["uri"] == str(tmp_path / "runs" / "store")
    assert json.loads(json.dumps(order.parameters)) == order.parameters
    assert order.parameters["context"]["run"] == "night"
    assert order.parameters["policy"] == "sft-2/policy"
    remote = config_of(**{"store.uri": "s3://bucket/prefix"})
    assert order_of(rollout, remote, CONTEXT, INPUTS).parameters["config"]["store"]["uri"] == (
        "s3://bucket/prefix"
    )


def test_orders_name_their_deployment_their_run_and_their_gpus():
    gpus = {"execution.rollout_gpus": 2, "execution.train_gpus": 8, "execution.deployment": "h100"}
    config = config_of(**gpus)
    asked = {
        flow.name: order_of(flow, config, CONTEXT, {}).job_variables
        for flow in (rollout, rollout_part, benchmark, filter_, sft, rl)
    }
    assert asked == {
        "rollout": {"gpus": 2},
        "rollout-part": {"gpus": 2},
        "benchmark": {"gpus": 2},
        "filter": {},
        "sft": {"gpus": 8},
        "rl": {"gpus": 8},
    }
    # Without a number the pool's own default holds.
    assert order_of(rl, config_of(), CONTEXT, {}).job_variables == {}
    gate = order_of(benchmark, config, StageContext(run="night", subject="best"), {"gate": True})
    assert (gate.deployment, gate.name) == ("benchmark/h100", "gate best")
    part = order_of(rollout_part, config, CONTEXT, {"part": 1, "parts": 3})
    assert part.name == "rollout 2, part 1 of 3"


def _ended(state: Any) -> Ended:
    return Ended(Order("rl/stage", "rl 2", {}, ""), None, state)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "kind", "text"),
    [
        (
            Failed(message="Flow run encountered an exception: StageError: the disk is full"),
            StageError,
            "the disk is full",
        ),
        (
            Failed(
                message="Flow run encountered an exception: SentinelTrippedError: KL is 9\nhigh"
            ),
            SentinelTrippedError,
            "KL is 9 high",
        ),
        (
            Failed(message="Flow run encountered an exception: KeyError: 'x'"),
            StageError,
            "rl 2 failed on its worker: KeyError: 'x'",
        ),
        (
            Failed(message="no such module"),
            StageError,
            "rl 2 failed on its worker: no such module",
        ),
        (Crashed(message="exit code -9"), StageError, "rl 2 crashed on its worker: exit code -9"),
        (
            Cancelled(),
            StoppedError,
            "rl 2 was cancelled in Prefect; the same command goes on from there",
        ),
    ],
)
def test_a_childs_end_is_the_error_that_an_inline_stage_would_raise(state, kind, text):
    error = error_of(_ended(state))
    assert (type(error), str(error)) == (kind, text)


def test_every_stage_can_be_asked_whether_it_is_done():
    assert set(ADAPTERS) == {
        "construct",
        "closed-book",
        "cold-start",
        "rollout",
        "filter",
        "sft",
        "rl",
        "benchmark",
    }


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """Orders that were handed over, all of which complete; no stage is done before."""
    handed: list[Order] = []
    states: dict[str, Any] = {}

    def hand_over(orders, _execution):
        handed.extend(orders)
        return [_of(order, states) for order in orders]

    def _of(order: Order, states: dict[str, Any]) -> Ended:
        state = SimpleNamespace(
            is_completed=lambda: order.name not in states,
            is_cancelled=lambda: False,
            is_crashed=lambda: True,
            message="gone",
        )
        return Ended(order, SimpleNamespace(start_time=None), state)  # type: ignore[arg-type]

    monkeypatch.setattr(dispatch, "hand_over", hand_over)
    monkeypatch.setattr(dispatch, "_stands", lambda *_: False)
    monkeypatch.setattr(dispatch, "_made", lambda *_: {"trajectories": "rollout-1/trajectories"})
    return handed


def test_a_rollout_stage_is_shared_out_and_then_joined(sent: list[Order]):
    config = config_of(**{"execution.mode": "dispatch", "execution.rollout_workers": 3})
    assert perform(rollout, config, CONTEXT, **INPUTS) == {"trajectories": "rollout-1/trajectories"}
    assert [order.deployment for order in sent] == [*["rollout-part/stage"] * 3, "rollout/stage"]
    assert [order.parameters.get("part") for order in sent] == [1, 2, 3, None]


def test_other_stages_and_single_workers_are_sent_out_once(sent: list[Order]):
    config = config_of(**{"execution.mode": "dispatch", "execution.rollout_workers": 1})
    perform(rollout, config, CONTEXT, **INPUTS)
    perform(rl, with_settings(config, {"execution.rollout_workers": 3}), CONTEXT, **INPUTS)
    assert [order.deployment for order in sent] == ["rollout/stage", "rl/stage"]


def test_a_stage_that_stands_is_not_sent_out(sent, monkeypatch):
    monkeypatch.setattr(dispatch, "_stands", lambda *_: True)
    called = []

    class Stage:
        name = "rollout"

        def __call__(self, _config, context, **inputs):
            called.append((context.run, inputs))
            return {"trajectories": "rollout-1/trajectories"}

    config = config_of(**{"execution.mode": "dispatch"})
    perform(Stage(), config, CONTEXT, **INPUTS)  # type: ignore[arg-type]
    assert called == [("night", INPUTS)]
    assert sent == []


def test_dispatch_without_a_server_is_one_line_before_anything_starts(tmp_path: Path):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.evolve import run_evolution

    config = config_of(**{"store.uri": str(tmp_path / "store"), "execution.mode": "dispatch"})
    with (
        temporary_settings({PREFECT_API_URL: None}),
        pytest.raises(UsageError, match="PREFECT_API_URL") as caught,
    ):
        run_evolution(config)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_settings_on_top_of_a_configuration_are_checked_as_a_profiles_are():
    config = config_of()
    assert with_settings(config, {"rl.num_steps": 9}).rl.num_steps == 9
    assert with_settings(config, {"rl.num_steps": 9}).store == config.store
    assert with_settings(config, {}) == config
    with pytest.raises(UsageError, match=r"did you mean 'rl\.num_steps'"):
        with_settings(config, {"rl.num_step": 9})
    with pytest.raises(UsageError, match=r"'rl\.num_steps': got 0"):
        with_settings(config, {"rl.num_steps": 0})


def test_how_a_run_is_executed_does_not_name_it():
    elsewhere = config_of(**{"execution.mode": "dispatch", "execution.rollout_workers": 4})
    assert elsewhere.default_run_name == config_of().default_run_name
