"""SFT against a straightforward loss, and what it leaves on disk."""

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from agents.errors import StageError, UsageError
from training.config import SftConfig, TrainingConfig
from training.reports import StepReport
from training.sft import Example, train_sft

EXACT = TrainingConfig(precision="fp32", gradient_clip=1e9, device="cpu")


def examples(count: int, seed: int = 0) -> list[Example]:
    rng = random.Random(seed)
    prefix = [rng.randrange(504) for _ in range(8)]
    made = []
    for _ in range(count):
        tail = [rng.randrange(504) for _ in range(rng.randrange(4, 20))]
        mask = [0] * 9 + [1] + [rng.randrange(2) for _ in tail[2:]]
        made.append(Example(prefix + tail, mask))
    return made


def reference(folder: Path, batch: list[Example]) -> tuple[float, float]:
    """Token-mean loss and the norm of its gradient, one sequence at a time."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    losses = []
    for example in batch:
        logits = model(input_ids=torch.tensor([example.token_ids])).logits[0]
        for at in range(1, len(example.token_ids)):
            if example.loss_mask[at]:
                losses.append(-logits[at - 1].log_softmax(0)[example.token_ids[at]])
    loss = torch.stack(losses).mean()
    loss.backward()
    norms = [parameter.grad.norm() for parameter in model.parameters()]
    return loss.item(), torch.stack(norms).norm().item()


@pytest.mark.parametrize("micro", [6, 2])
def test_loss_and_gradient_equal_the_straightforward_ones(
    tiny_policy: Path, tmp_path: Path, micro: int
) -> None:
    batch = examples(6)
    reports: list[StepReport] = []
    train_sft(
        tiny_policy,
        batch,
        SftConfig(batch_size=6, num_epochs=1, warmup_ratio=0.0),
        EXACT.model_copy(update={"micro_batch_size": micro}),
        tmp_path,
        seed=1,
        on_step=reports.append,
    )
    loss, norm = reference(tiny_policy, batch)
    assert len(reports) == 1
    assert reports[0].loss == pytest.approx(loss, rel=1e-5)
    assert reports[0].grad_norm == pytest.approx(norm, rel=1e-5)
    assert reports[0].tokens == sum(len(example.token_ids) for example in batch)
    assert reports[0].metrics["loss_tokens"] == sum(sum(e.loss_mask[1:]) for e in batch)


def test_training_learns_and_saves_a_plain_fp32_policy(tiny_policy: Path, tmp_path: Path) -> None:
    batch = examples(8)
    report = train_sft(
        tiny_policy,
        batch,
        SftConfig(batch_size=4, num_epochs=6, learning_rate=5e-3, schedule="cosine"),
        EXACT,
        tmp_path / "policy",
        seed=1,
        on_step=lambda _: None,
    )
    assert report.num_steps == 12
    before, _ = reference(tiny_policy, batch)
    after, _ = reference(report.policy, batch)
    assert after < before - 2.0
    weights = load_file(report.policy / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    saved = json.loads((report.policy / "config.json").read_text())
    original = json.loads((tiny_policy / "config.json").read_text())
    assert saved == original | {"dtype": "float32"}
    assert {file.name for file in report.policy.iterdir()} == {
        file.name for file in tiny_policy.iterdir()
    }
    assert AutoTokenizer.from_pretrained(report.policy).chat_template


def test_the_same_seed_trains_the_same_policy(tiny_policy: Path, tmp_path: Path) -> None:
    finals = []
    for run, seed in enumerate((1, 1, 2)):
        report = train_sft(
            tiny_policy,
            examples(8),
            SftConfig(batch_size=2, num_epochs=1),
            EXACT,
            tmp_path / str(run),
            seed,
            lambda _: None,
        )
        finals.append(load_file(report.policy / "model.safetensors"))
    first, again, other = finals
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_bf16_stays_close_to_fp32(tiny_policy: Path, tmp_path: Path) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        report = train_sft(
            tiny_policy,
            examples(6),
            SftConfig(batch_size=6, num_epochs=1),
            TrainingConfig.model_validate({"precision": precision, "device": "cpu"}),
            tmp_path / precision,
            1,
            lambda _: None,
        )
        assert report.precision == precision
        losses[precision] = report.final_loss
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=1e-2)
    assert losses["bf16"] != losses["fp32"]


def test_long_examples_are_left_out_whole(tiny_policy: Path, tmp_path: Path) -> None:
    short, long = Example([1, 2, 3], [0, 1, 1]), Example([1] * 40, [0] + [1] * 39)
    reports: list[StepReport] = []
    config = SftConfig(max_tokens=10, num_epochs=1)
    train_sft(tiny_policy, [short, long], config, EXACT, tmp_path, 1, reports.append)
    assert [report.tokens for report in reports] == [3]


def test_nothing_to_learn_and_no_model_are_one_clear_error(
    tiny_policy: Path, tmp_path: Path
) -> None:
    unmasked = [Example([1, 2, 3], [1, 0, 0])]
    with pytest.raises(StageError, match="nothing to learn from: 0 of 1"):
        train_sft(tiny_policy, unmasked, SftConfig(), EXACT, tmp_path, 1, lambda _: None)
    with pytest.raises(UsageError, match=r"no config\.json"):
        train_sft(tmp_path, examples(2), SftConfig(), EXACT, tmp_path, 1, lambda _: None)


def test_training_prints_nothing(
    tiny_policy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train_sft(tiny_policy, examples(2), SftConfig(num_epochs=1), EXACT, tmp_path, 1, lambda _: None)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""
