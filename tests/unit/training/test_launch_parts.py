"""The parts of a training in ranks that need no ranks to be tried."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from agents.errors import (
    DivergedError,
    RankDiedError,
    RankMemoryError,
    StageError,
    UsageError,
)
from agents.lifeline import describe_error
from training.config import TrainingConfig
from training.launch.config import SHIPPED
from training.launch.deepspeed_settings import (
    ACCELERATE_CONFIG,
    CONFIGS,
    deepspeed_settings,
    zero_stage,
)
from training.launch.failures import Failure, worst_of
from training.launch.machines import Machines
from training.launch.shared_weights import read_weights, shared_weights
from training.launch.step_files import read_rows, write_rows
from training.launch.wire import Wire
from training.order import EvenOrder
from training.step_rows import StepRows


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_deepspeed_settings_say_what_their_name_says(name: str) -> None:
    config = TrainingConfig(deepspeed=name)
    assert zero_stage(config) == int(name[4])
    for bf16 in (False, True):
        settings = deepspeed_settings(config, bf16=bf16, cpu=True)
        assert settings is not None
        assert settings["bf16"] == settings["fp16"] == {"enabled": False}
        assert settings.get("torch_autocast", {}).get("enabled", False) is bf16
        zero = settings["zero_optimization"]
        assert ("offload_optimizer" in zero) is name.endswith("offload")
        assert zero["overlap_comm"] is False
    on_accelerators = deepspeed_settings(config, bf16=True, cpu=False)
    assert on_accelerators is not None
    assert on_accelerators["zero_optimization"]["overlap_comm"] is True


def test_shipped_settings_are_all_named_and_need_no_compiler() -> None:
    assert {path.stem for path in CONFIGS.glob("*.json")} == set(SHIPPED)
    for path in CONFIGS.glob("*.json"):
        document = json.loads(path.read_text())
        assert "optimizer" not in document, "DeepSpeed would build its own"
        if "offload" in path.stem:
            assert document["zero_force_ds_cpu_optimizer"] is False
    lines = ACCELERATE_CONFIG.read_text().splitlines()
    assert "distributed_type: MULTI_GPU" in lines
    assert "use_cpu: false" in lines, "accelerate's own CPU mode starts ranks by MPI alone"


def test_deepspeed_settings_of_ones_own_keep_their_precision(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"zero_optimization": {"stage": 2}, "bf16": {"enabled": True}}))
    config = TrainingConfig(deepspeed=str(path))
    settings = deepspeed_settings(config, bf16=False, cpu=True)
    assert settings == {"zero_optimization": {"stage": 2}, "bf16": {"enabled": True}}
    before = config.that_matters
    path.write_text(json.dumps({"zero_optimization": {"stage": 3}}))
    assert config.that_matters != before, "another content is another training"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read"),
        ("{", "no JSON document"),
        ('{"zero_optimization": {}}', "zero_optimization.stage"),
    ],
)
def test_deepspeed_settings_that_are_none_are_one_clear_error(
    tmp_path: Path, text: str | None, words: str
) -> None:
    path = tmp_path / "own.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=words):
        deepspeed_settings(TrainingConfig(deepspeed=str(path)), bf16=False, cpu=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"deepspeed": "zero4"}, "is not one of off, zero1"),
        ({"launch": {"num_processes": 3, "num_machines": 2}}, "cannot be shared evenly"),
        ({"launch": {"machine_rank": 1}}, "have ranks 0 to 0"),
        ({"launch": {"num_processes": 2, "num_machines": 2}}, "need address and port"),
    ],
)
def test_bad_combinations_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TrainingConfig.model_validate(changes)


def test_where_ranks_run_does_not_matter_to_the_result_but_their_number_does() -> None:
    def matters(**launch: Any) -> dict[str, Any]:
        return TrainingConfig.model_validate({"launch": launch}).that_matters

    assert matters(timeout_s=5.0, port=1234) == matters()
    assert matters(num_processes=2) != matters()
    assert TrainingConfig(deepspeed="zero2").that_matters != matters()


def test_an_order_for_ranks_sees_each_example_once_and_fills_the_last_batch() -> None:
    steps = [0]
    order = EvenOrder(10, 4, 3, lambda: steps[0])
    first = list(order)
    assert len(first) == len(order) == 12
    assert sorted(first[:10]) == list(range(10))
    assert first[10:] == [10, 10]
    orders = []
    for steps[0] in range(7):
        orders.append(list(order))
    assert orders[:3] == [first] * 3, "the same within an epoch, for who goes on in its midst"
    assert orders[3] != first
    assert orders[3:6] == [orders[3]] * 3
    assert orders[6] not in (first, orders[3])


def test_weights_are_handed_over_with_their_names_and_leave_no_file(tmp_path: Path) -> None:
    tied, odd = torch.randn(3, 5), torch.randn(7).to(torch.bfloat16)
    weights = {"embed": tied, "head": tied, "odd": odd, "part": torch.randn(4, 6).T}
    with shared_weights(weights, tmp_path) as path:
        read = read_weights(path)
    assert read.keys() == weights.keys()
    for name, tensor in weights.items():
        assert torch.equal(read[name], tensor), name
    assert read["head"] is read["embed"], "what was one tensor is one again"
    assert list(tmp_path.iterdir()) == []


def test_rollouts_of_a_step_come_back_as_they_were(tmp_path: Path) -> None:
    rows = StepRows(
        {
            "prompt_ids": [[1, 2], [3], [4], [5]],
            "completion_ids": [[4], [5, 6], [7], [8]],
            "logprobs": [[-0.1234567890123], [-1.5, -2.5], [0.0], [-1e-9]],
            "env_mask": [[1], [1, 0], [0], [1]],
            "rollout_reward": [None, 0.5, 1.0, None],
        },
        {"tokens": 6.0},
    )
    read = read_rows(write_rows(rows, tmp_path / "rows.parquet"))
    assert read == rows
    assert read.share(1, 2)["prompt_ids"] == [[4], [5]]
    assert read.share(0, 2)["rollout_reward"] == [None, 0.5]
    nobody = StepRows({"prompt_ids": [[1]], "rollout_reward": [None]}, {})
    assert read_rows(write_rows(nobody, tmp_path / "none.parquet")) == nobody


def test_a_wire_puts_messages_together_and_tells_of_its_end() -> None:
    one, other = socket.socketpair()
    wire, peer = Wire(one), Wire(other)
    peer.send({"event": "step", "text": "ü" * 20_000})
    peer.send({"event": "beat"})
    got: list[dict[str, Any]] = []
    while len(got) < 2:
        got += wire.read() or []
    assert [message["event"] for message in got] == ["step", "beat"]
    assert len(got[0]["text"]) == 20_000
    peer.close()
    assert wire.read() is None
    wire.close()


def failure(error: StageError | BaseException, rank: int) -> Failure:
    return Failure.of_message(describe_error(error), 0.0, rank)


def test_the_cause_is_told_and_not_its_echo() -> None:
    echo = failure(RuntimeError("[gloo] Connection closed by peer [127.0.0.1]:1"), 0)
    died = Failure(RankDiedError("rank 1 died"), 0.0, 1)
    assert worst_of([echo, died], None, 10**9) is died.error
    assert worst_of([died, echo], 1, 10**9) is died.error
    assert isinstance(worst_of([echo], None, 10**9), StageError)
    diverged = failure(DivergedError("the loss became nan"), 1)
    told = worst_of([diverged, died], 1, 10**9)
    assert isinstance(told, DivergedError)
    assert str(told) == "the loss became nan"
    assert "killed by SIGKILL" in str(worst_of([died], -9, 10**9))


def test_a_rank_without_memory_is_told_as_such_up_to_the_stage() -> None:
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory")):
        told = worst_of([failure(error, 1)], 1, 10**9)
        assert isinstance(told, RankMemoryError)
        assert describe_error(told)["memory"], "the stage names the setting to change"
    # A death while the kernel was killing for lack of memory is one of them.
    died = Failure(RankDiedError("rank 1 died"), 0.0, 1)
    assert isinstance(worst_of([died], None, -1), RankMemoryError)


def test_machines_tell_each_other_of_their_end(tmp_path: Path) -> None:
    first, second = Machines(tmp_path, 0, 60.0), Machines(tmp_path, 1, 0.0)
    assert first.look() is None
    assert (tmp_path / "alive").exists()
    gone = second.look() or second.look()
    assert isinstance(gone, RankDiedError)
    assert "the driver gave no sign of life" in str(gone)
    second.tell(DivergedError("the loss became nan"))
    heard = first.look()
    assert isinstance(heard, DivergedError)
    assert str(heard) == "the loss became nan"
