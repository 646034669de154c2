"""The estimate of a training's memory: right sizes, right directions, and advice that helps."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from agents.engines.config import EngineConfig
from agents.errors import MemoryNeedError, UsageError
from tasks.config import StageConfig
from tasks.memory_advice import memory_advice
from tasks.training_memory import training_needs
from training.config import TrainingConfig
from training.device_peaks import peak_of, utilisation
from training.launch.config import LoraConfig
from training.lora import adapters
from training.memory_check import MemoryNeed, advice, check_memory
from training.memory_estimate import (
    GIB,
    Ranks,
    estimate_engine,
    estimate_training,
    handed_over,
    keys_values,
)
from training.memory_limits import free_memory
from training.memory_pass import Batch, largest_batch
from training.model_shape import ModelShape
from training.reports import StepReport

SMOLLM2 = ModelShape(30, 576, 1536, 9, 3, 64, 49152, True, 8192)
QWEN_7B = ModelShape(28, 3584, 18944, 28, 4, 128, 152064, False, 32768, attention_bias=True)
SIZES = {
    "vocab_size": 128, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SIZES, tie_word_embeddings=True),
        LlamaConfig(**SIZES, attention_bias=True, head_dim=16),
        Qwen2Config(**SIZES),
        Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True),
    ],
    ids=["llama-tied", "llama-bias", "qwen2", "qwen3"],
)
def test_the_config_alone_tells_how_many_weights(config: PretrainedConfig, tmp_path: Path) -> None:
    config.save_pretrained(tmp_path)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert ModelShape.of_folder(tmp_path).num_weights == model.num_parameters()


def test_known_models_have_their_known_sizes() -> None:
    assert SMOLLM2.num_weights == 134_515_008
    assert round(QWEN_7B.num_weights / 1e9, 2) == 7.62


def test_a_folder_that_does_not_tell_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UsageError, match="num_attention_heads"):
        ModelShape.of_folder(tmp_path)
    with pytest.raises(UsageError, match=r"config\.json"):
        ModelShape.of_folder(tmp_path / "none")


@pytest.mark.parametrize("targets", ["all-linear", "attention"])
@pytest.mark.parametrize("config", [LlamaConfig(**SIZES, head_dim=16), Qwen2Config(**SIZES)])
def test_the_config_alone_tells_how_many_weights_adapters_have(
    config: PretrainedConfig, targets: str
) -> None:
    from peft import get_peft_model

    lora = LoraConfig(enabled=True, rank=5, targets=targets)  # type: ignore[arg-type]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        found = get_peft_model(model, adapters(lora, dropout=False)).get_nb_trainable_parameters()
    shape = ModelShape.of_config(config.to_dict())
    assert shape.adapter_weights(5, attention_only=targets == "attention") == found[0]


BATCHES = st.builds(
    lambda size, longest: Batch(size * longest, size * longest // 3, size, longest),
    st.integers(1, 32),
    st.integers(16, 4096),
)


@given(BATCHES, st.booleans(), st.sampled_from([SMOLLM2, QWEN_7B]))
def test_it_goes_the_right_way(batch: Batch, bf16: bool, shape: ModelShape) -> None:
    def total(of: Batch = batch, **more: object) -> int:
        return estimate_training(shape, of, bf16=bf16, **more).num_bytes  # type: ignore[arg-type]

    longer = Batch(batch.tokens + 64, batch.loss_tokens + 8, batch.num_sequences, batch.longest)
    assert total() < total(longer)
    assert total(gradient_checkpointing=True) < total()
    adapters_only = total(trainable=shape.num_weights // 100)
    assert total() < total(reference=True)
    assert adapters_only == total(trainable=shape.num_weights // 100, reference=True)
    assert total(trainable=100) < adapters_only
    stages = [total(ranks=Ranks(8, zero_stage=stage)) for stage in (1, 2, 3)]
    assert stages[0] > stages[1] > stages[2]
    offloaded = Ranks(8, zero_stage=2, offload=True)
    assert total(ranks=offloaded) == stages[1], "a CPU's memory is where it goes to"
    on_gpu = {"ranks": offloaded, "device": "cuda"}
    assert total(**on_gpu) < total(ranks=Ranks(8, zero_stage=2), device="cuda")
    assert total() >= 16 * shape.num_weights, "fp32 weights, gradients and two moments"


def test_a_7b_model_takes_sixteen_bytes_a_weight() -> None:
    small = Batch(16, 8, 1, 16)
    found = estimate_training(QWEN_7B, small, bf16=True, gradient_checkpointing=True)
    states = sum(found.parts[name] for name in ("weights", "gradients", "optimizer"))
    assert round(states / 1e9) == 122  # 16 bytes of each of 7.6 billion weights


def test_keys_and_values_of_every_session() -> None:
    assert keys_values(SMOLLM2, 64, 896, 2) == 2 * 30 * 3 * 64 * 2 * 64 * 896


@given(
    st.lists(st.integers(8, 300), min_size=1, max_size=20), st.integers(1, 25), st.integers(0, 7)
)
def test_the_largest_batch_is_no_smaller_than_any(
    lengths: list[int], size: int, prefix: int
) -> None:
    found = largest_batch(lengths, [n // 2 for n in lengths], size, prefix)
    for start in range(len(lengths)):
        some = lengths[start : start + size]
        assert found.tokens >= sum(some) - prefix * (len(some) - 1)
        assert found.longest >= max(some)
    assert largest_batch([], [], size, 0).tokens == 0


def need(**more: object) -> MemoryNeed:
    settings = {"micro_batch_size": 8, **more}
    return MemoryNeed(
        stage="sft",
        shape=SMOLLM2,
        training=TrainingConfig(**settings),  # type: ignore[arg-type]
        batch_of=lambda size: Batch(size * 900, size * 300, size, 900),
        bf16=True,
    )


def test_what_fits_is_let_through(caplog: pytest.LogCaptureFixture) -> None:
    check_memory(need(), need().num_bytes, "error")
    check_memory(need(), None, "error")
    check_memory(need(), 0, "off")
    assert caplog.records == []


def test_what_does_not_fit_is_an_error_or_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(MemoryNeedError) as caught:
        check_memory(need(), 4 * GIB, "error")
    message = str(caught.value)
    for words in ("sft", "4.00 GiB are free", "activations", "training.micro_batch_size="):
        assert words in message
    assert "\n" not in message
    with caplog.at_level(logging.WARNING):
        check_memory(need(), 4 * GIB, "warn")
    assert "4.00 GiB are free" in caplog.text


@given(st.integers(1, 64), st.integers(1, 40))
def test_the_advice_fits_where_anything_does(micro: int, free_gib: int) -> None:
    given_, free = need(micro_batch_size=micro), free_gib * GIB
    text = advice(given_, free)
    settings = dict(
        part.removeprefix("training.").split("=")
        for part in text.removeprefix("set ").split(" (")[0].split()
        if part.startswith("training.")
    )
    if "even that is too much" not in text and settings:
        size = int(settings.get("micro_batch_size", micro))
        again = settings.get("gradient_checkpointing") == "true"
        changed = need(micro_batch_size=size, gradient_checkpointing=again)
        assert changed.num_bytes <= free


def test_an_engine_beside_it_can_be_made_smaller() -> None:
    with_engine = replace(
        need(micro_batch_size=1, gradient_checkpointing=True),
        stage="rl",
        engine=EngineConfig(batch_size=256),
        context=8192,
    )
    assert "engine" in with_engine.worst.process.parts
    assert "engine.batch_size=" in advice(with_engine, 8 * GIB)
    assert replace(with_engine, engine=EngineConfig(kind="vllm")).num_bytes < with_engine.num_bytes


def rl_need(ranks: int = 1, deepspeed: str = "off", device: str = "cpu", **more: Any) -> MemoryNeed:
    config = StageConfig.model_validate(
        {
            "training": {
                "launch": {"num_processes": ranks},
                "deepspeed": deepspeed,
                "micro_batch_size": 1,
                **more,
            },
            "rl": {"kl_coefficient": 0.1},
        }
    )
    return training_needs(config, SMOLLM2, bf16=True, device=device)[1]


def test_ranks_on_a_cpu_share_one_engine() -> None:
    alone, ranks = rl_need(), rl_need(2)
    engine = estimate_engine(SMOLLM2, EngineConfig(), alone.context, bf16=True)
    assert alone.worst.process.parts["engine"] == ranks.worst.beside.parts["engine"] == engine
    assert "engine" not in ranks.worst.process.parts
    assert alone.worst.beside.num_bytes == 0
    for need in (alone, ranks):
        every = [need.worst.process.num_bytes] * need.worst.count
        assert need.num_bytes == sum(every) + need.worst.beside.num_bytes
    assert ranks.worst.count == 2
    assert re.search(r"in each of 2 ranks and .*engine .* beside", str(ranks.worst))
    on_gpu = rl_need(2, device="cuda").worst
    assert on_gpu.count == 1, "each has a device of its own"
    assert on_gpu.beside.parts["engine"] == engine, "one shares it with the engine"


def test_adapters_take_less_of_training_and_more_of_the_hand_over() -> None:
    lora = {"lora": {"enabled": True}}
    everything, few = rl_need(), rl_need(**lora)
    assert few.num_bytes < everything.num_bytes
    assert few.worst.process.parts["optimizer"] * 10 < everything.worst.process.parts["optimizer"]
    assert "reference" in everything.worst.process.parts
    assert "reference" not in few.worst.process.parts, "the adapters are turned off for it"
    layers = 4 * SMOLLM2.num_layers * SMOLLM2.layer_weights
    short = replace(few, batch_of=lambda _: Batch(8, 4, 1, 8))
    assert short.worst.process.parts["merged weights"] == layers, "nothing else is as large"
    assert "activations" not in short.worst.process.parts, "not at the same time"
    gathered = Ranks(2, apart=True, on_machine=2, zero_stage=3)
    assert handed_over(SMOLLM2, trainable=1000, ranks=gathered) == {
        "gathered weights": 4 * SMOLLM2.num_weights,
        "handed-over weights": 4 * SMOLLM2.num_weights,
    }


def test_free_memory_is_the_least_of_machine_and_cgroup(tmp_path: Path) -> None:
    meminfo, group = tmp_path / "meminfo", tmp_path / "group"
    group.mkdir()
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    assert free_memory(group, meminfo) == 8000 * 1024
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("4096000\n")
    assert free_memory(group, meminfo) == 8000 * 1024
    (group / "memory.max").write_text("5120000\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 2048000\n")
    assert free_memory(group, meminfo) == 5120000 - 4096000 + 2048000


@pytest.mark.parametrize(
    ("stage", "settings", "words"),
    [
        ("sft", {"micro_batch_size": 8}, ["set training.micro_batch_size=4 (now 8)"]),
        ("sft", {"micro_batch_size": 1}, ["training.gradient_checkpointing=true"]),
        (
            "sft",
            {"micro_batch_size": 1, "gradient_checkpointing": True},
            ["agents.max_context_tokens"],
        ),
        ("rl", {}, ["training.micro_batch_size=4", "engine.batch_size=32 (now 64)"]),
        ("rollout", {}, ["set engine.batch_size=32 (now 64)"]),
    ],
)
def test_a_stage_that_ran_out_names_a_setting(
    stage: str, settings: dict[str, object], words: list[str]
) -> None:
    config = StageConfig(training=TrainingConfig(**settings))  # type: ignore[arg-type]
    text = memory_advice(stage, config)
    for each in words:
        assert each in text


def test_utilisation_is_needed_arithmetic_over_what_was_possible() -> None:
    # 6 operations a weight and token, and little more for a short conversation.
    flops = SMOLLM2.training_flops(1000, 1000, 1.0)
    assert flops == pytest.approx(6 * SMOLLM2.num_weights * 1000, rel=0.01)
    step = StepReport(1, 1, 1.0, 1.0, 1e-4, 1000, 2.0)
    assert utilisation(step, SMOLLM2, 1000, flops) == pytest.approx(0.5, rel=0.01)
    assert utilisation(step, SMOLLM2, 1000, None) is None
    sampled = {"rollout_s": 1.0}
    rl = StepReport(1, 1, 1.0, 1.0, 1e-4, 1000, 2.0, 0.5, 1, sampled)
    assert utilisation(rl, SMOLLM2, 1000, flops) is None, "how much was trained on is not known"
    rl = StepReport(1, 1, 1.0, 1.0, 1e-4, 1000, 2.0, 0.5, 1, sampled | {"trained_tokens": 500.0})
    assert utilisation(rl, SMOLLM2, 1000, flops) == pytest.approx(0.5, rel=0.01)


def test_peaks_are_known_by_a_part_of_the_name() -> None:
    assert peak_of("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_of("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_of("Unheard-of 1") is None
