"""Training speed: SFT against the plain loop, and one RL step, all in one run.

    python benchmarks/training_speed.py [MODEL] [--steps N] [--json]

The data have the shape of this project's trajectories (a common prompt of 150 tokens, 330 in all,
two fifths of the rest sampled) with random ids, for speed does not depend on what they say. The
plain loop pads each batch, computes logits everywhere and steps AdamW; precision, threads and
batches are the same. Steps of both alternate, so that other work on the machine slows both.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from agents.assets.model import ensure_model
from agents.trajectory import Question, StopReason, Trajectory
from training.config import RlConfig, SftConfig, TrainingConfig
from training.policy_folder import resolve_device, resolve_precision
from training.quiet import quiet_libraries
from training.reports import StepReport
from training.rewards import Reward
from training.rl import RolloutRequest, train_rl
from training.sft import Example, train_sft

BATCH = 8
COMMON_TOKENS = 150
TRAINING = TrainingConfig()


def make_example(vocabulary: int, seed: int, common: list[int]) -> Example:
    rng = random.Random(seed)
    ids, mask = list(common), [0] * len(common)
    for _ in range(3):  # turns: sampled tokens, then an observation
        for sampled, low, high in ((1, 18, 30), (0, 25, 45)):
            length = rng.randrange(low, high)
            ids += [rng.randrange(vocabulary) for _ in range(length)]
            mask += [sampled] * length
    return Example(ids, mask)


def plain_steps(folder: Path, batches: list[list[Example]]) -> Iterator[float]:
    """Yields the seconds of each step of a loop as one writes it first."""
    device = resolve_device(TRAINING)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for batch in batches:
        started = time.perf_counter()
        longest = max(len(example.token_ids) for example in batch)
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        attention, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for row, example in enumerate(batch):
            length = len(example.token_ids)
            ids[row, :length] = torch.tensor(example.token_ids)
            attention[row, :length] = 1
            learnt = torch.tensor(example.loss_mask).bool()
            labels[row, :length][learnt] = ids[row, :length][learnt]
        bf16 = resolve_precision(TRAINING) == "bf16"
        with torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
            loss = model(
                input_ids=ids.to(device),
                attention_mask=attention.to(device),
                labels=labels.to(device),
                use_cache=False,
            ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        yield time.perf_counter() - started


def measure_sft(folder: Path, steps: int, vocabulary: int) -> dict[str, float]:
    common = [random.Random(0).randrange(vocabulary) for _ in range(COMMON_TOKENS)]
    count = BATCH * (steps + 1)
    examples = [make_example(vocabulary, seed, common) for seed in range(1, count + 1)]
    batches = [examples[start : start + BATCH] for start in range(0, count, BATCH)]
    plain = plain_steps(folder, batches)
    ours: list[float] = []
    theirs: list[float] = []
    paused = 0.0

    def alternate(report: StepReport) -> None:
        nonlocal paused
        ours.append(report.tokens / (report.wall_s - paused))
        started = time.perf_counter()
        seconds = next(plain)
        theirs.append(sum(len(e.token_ids) for e in batches[len(ours) - 1]) / seconds)
        paused = time.perf_counter() - started

    with tempfile.TemporaryDirectory() as output:
        config = SftConfig(batch_size=BATCH, num_epochs=1)
        train_sft(folder, examples, config, TRAINING, Path(output), 1, alternate)
    # The first step of each warms up allocators and kernels.
    return {
        "sft_tokens_per_s": statistics.median(ours[1:]),
        "plain_tokens_per_s": statistics.median(theirs[1:]),
        "sft_over_plain": statistics.median(
            own / other for own, other in zip(ours[1:], theirs[1:], strict=True)
        ),
    }


def measure_rl(folder: Path, vocabulary: int) -> dict[str, float]:
    common = [random.Random(0).randrange(vocabulary) for _ in range(COMMON_TOKENS - 30)]
    questions = [Question(f"q{i}", "?", ("yes",)) for i in range(8)]

    def sample(
        _weights: Mapping[str, torch.Tensor], requests: list[RolloutRequest]
    ) -> list[Trajectory]:
        made = []
        for request in requests:
            rng = random.Random(request.question.question_id)
            prompt = common + [rng.randrange(vocabulary) for _ in range(30)]
            example = make_example(vocabulary, request.seed, prompt)
            logprobs = tuple(-11.0 * flag for flag in example.loss_mask)
            made.append(
                Trajectory(
                    f"{request.question.question_id}-{request.rollout_index}",
                    request.question.question_id,
                    request.rollout_index,
                    "p",
                    1,
                    "rl",
                    0.7,
                    tuple(example.token_ids),
                    tuple(example.loss_mask),
                    logprobs,
                    len(prompt),
                    stop_reason=StopReason.ANSWER,
                )
            )
        return made

    def reward(trajectory: Trajectory) -> Reward:
        value = float(trajectory.rollout_index % 2)
        return Reward(1.0, value, value)

    reports: list[StepReport] = []
    with tempfile.TemporaryDirectory() as output:
        train_rl(
            folder,
            questions,
            sample,
            reward,
            lambda _: common,
            RlConfig(num_steps=2),
            TRAINING,
            Path(output),
            1,
            reports.append,
            lambda *_: None,
        )
    last = reports[-1]
    seconds = last.wall_s - last.metrics["rollout_s"]
    return {"rl_step_8x8_s": seconds, "rl_tokens_per_s": last.tokens / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("model", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--steps", type=int, default=4, help="measured SFT steps")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    folder = ensure_model(arguments.model)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    with quiet_libraries():
        figures = measure_sft(folder, arguments.steps, vocabulary)
        figures["sft_peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        figures |= measure_rl(folder, vocabulary)
    figures["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if arguments.json:
        json.dump(figures, sys.stdout)
        print()
        return
    for name, value in figures.items():
        print(f"{name:20} {value:10.2f}")


if __name__ == "__main__":
    main()
