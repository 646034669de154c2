"""Measures SFT and RL steps against TRL's own trainers, in one run.

    python -m benchmarks.training [--model NAME] [--json]

SFT: `SFTTrainer` as TRL ships it against ours, on the trajectories of the laptop's cold start:
same batches in the same order, same precision, no gradient checkpointing, so that the losses must
agree, too. RL: `GRPOTrainer` with TRL's own tool loop and Transformers' `generate` against ours
with its runner and engine, on a load whose turns are written beforehand (`scripted_load`); once
with nearly equal lengths and once with lengths that differ. Systems alternate, and the first step
of each is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from agents.assets.model import ensure_model
from agents.engines.config import EngineConfig
from agents.engines.factory import make_engine
from agents.runner import run_jobs
from agents.trajectory import Trajectory
from agents.web.local import open_web
from benchmarks.scripted_load import Load, ScriptedTokens, SlowSearch, make_load, make_setting
from benchmarks.trl_trainers import train_trl_grpo, train_trl_sft
from evaluation.questions.build import build_questions
from flows.profiles import load_profile
from tasks.jobs.sampling import open_tools
from training.config import RlConfig, SftConfig, TrainingConfig
from training.construction.chains import build_cold_start
from training.policy_folder import resolve_precision
from training.quiet import quiet_libraries
from training.reports import StepReport
from training.rewards import Reward
from training.rl import RolloutRequest, train_rl
from training.sft import Example, train_sft

SEED = 3
LOADS = {
    "even": {"calls": (2, 2), "thought": (8, 8)},
    "dynamic": {"calls": (1, 4), "thought": (2, 60)},
}


def cold_start_examples(tokenizer: Any, number: int) -> list[Example]:
    """Trajectories of the laptop's cold start: known chains, followed through the real tools."""
    config = load_profile("laptop")
    questions = build_questions(open_web(config.web).graph, config.questions, config.seed).training
    chosen = config.cold_start.model_copy(update={"num_questions": number})
    with open_tools(config) as tools:
        made = build_cold_start(questions, tools, tokenizer, config.agents, chosen, config.seed)
    return [Example(t.token_ids, t.loss_mask) for t in made]


def compare_sft(folder: Path, tokenizer: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Ours, TRL's, TRL's, ours: each trains the same steps from the same weights."""
    training = TrainingConfig(micro_batch_size=args.batch)
    config = SftConfig(
        batch_size=args.batch, num_epochs=1, schedule="constant", warmup_ratio=0.0,
        learning_rate=5e-5,
    )  # fmt: skip
    examples = cold_start_examples(tokenizer, args.batch * (args.steps + 1))
    tokens = sum(len(e.token_ids) for e in examples)
    runs: dict[str, list[tuple[list[float], list[float]]]] = {"ours": [], "trl": []}
    for system in ("ours", "trl", "trl", "ours"):
        with tempfile.TemporaryDirectory() as name:
            output = Path(name) / "policy"
            if system == "ours":
                reports: list[StepReport] = []
                train_sft(folder, examples, config, training, output, SEED, reports.append)
                losses = [r.loss for r in reports]
                seconds = [r.wall_s for r in reports]
            else:
                clock = train_trl_sft(folder, examples, config, training, output, SEED)
                seconds, losses = clock.seconds, clock.losses
        runs[system].append((seconds, losses))
        say(f"sft {system}: {[round(s, 2) for s in seconds]} s, losses {losses}")
        gc.collect()
    # The first step of each run warms up; the rest share the tokens evenly enough over steps.
    rate = {
        name: tokens * args.steps / (args.steps + 1) * len(made)
        / sum(sum(seconds[1:]) for seconds, _ in made)
        for name, made in runs.items()
    }  # fmt: skip
    return {
        "precision": resolve_precision(training),
        "tokens_per_example": tokens / len(examples),
        "loss_tokens_per_example": sum(sum(e.loss_mask) for e in examples) / len(examples),
        "tokens_per_s": rate,
        "ratio": rate["ours"] / rate["trl"],
        "most_loss_difference": max(
            abs(a - b) for a, b in zip(runs["ours"][0][1], runs["trl"][0][1], strict=True)
        ),
        "losses": {name: made[0][1] for name, made in runs.items()},
    }


def ours_rl(
    folder: Path, tokenizer: Any, load: Load, config: RlConfig, training: TrainingConfig
) -> list[StepReport]:
    """RL by our trainer, runner and engine."""
    setting = make_setting(tokenizer, load)
    places = config.prompts_per_step * config.num_generations
    engine_config = EngineConfig(batch_size=places, num_replicas=2, threads=1)
    engine = make_engine(folder, engine_config, setting.config.max_context_tokens)
    jobs = {(s.job.question.question_id, s.job.rollout_index): s.job for s in load.scripts}

    def sample(
        weights: Mapping[str, torch.Tensor], requests: list[RolloutRequest]
    ) -> list[Trajectory]:
        engine.load_weights(weights)
        scripted = ScriptedTokens(engine, load, setting.chat)
        return asyncio.run(
            run_jobs(
                [jobs[r.question.question_id, r.rollout_index] for r in requests],
                scripted,
                tokenizer,
                {"search": SlowSearch(load)},
                setting.config,
                max_concurrency=places,
                max_open=places * 8,
            )
        )

    def parity(trajectory: Trajectory) -> Reward:
        value = float(trajectory.rollout_index % 2)
        return Reward(1.0, value, value)

    reports: list[StepReport] = []
    questions = list({s.job.question.question_id: s.job.question for s in load.scripts}.values())
    try:
        with tempfile.TemporaryDirectory() as output:
            train_rl(
                folder, questions, sample, parity, lambda q: setting.prompt_ids(q.text), config,
                training, Path(output) / "policy", 1, reports.append, lambda *_: None,
            )  # fmt: skip
    finally:
        engine.close()
    return reports


def compare_rl(folder: Path, tokenizer: Any, name: str, args: argparse.Namespace) -> dict[str, Any]:
    """One kind of load: seconds of a step, of its rollouts and of its update, on both sides."""
    config = RlConfig(
        num_steps=args.rl_steps + 1, prompts_per_step=args.prompts, num_generations=4,
        learning_rate=1e-6, temperature=1.0,
    )  # fmt: skip
    training = TrainingConfig(micro_batch_size=args.batch)
    num_questions = config.num_steps * config.prompts_per_step
    load = make_load(num_questions, config.num_generations, SEED, **LOADS[name]).without_latency()
    reports = ours_rl(folder, tokenizer, load, config, training)
    ours = {
        "step_s": [r.wall_s for r in reports][1:],
        "rollout_s": [r.metrics["rollout_s"] for r in reports][1:],
        "tokens": [r.tokens for r in reports][1:],
    }
    say(f"rl {name} ours: {ours}")
    gc.collect()
    with tempfile.TemporaryDirectory() as output:
        setting = make_setting(tokenizer, load)
        clock, trainer = train_trl_grpo(folder, load, setting, config, training, Path(output))
    trl = {
        "step_s": clock.seconds[1:],
        "rollout_s": trainer.rollout_s[1:],
        "tokens": trainer.tokens[1:],
    }
    say(f"rl {name} trl: {trl}")
    del trainer
    gc.collect()

    def rate(run: dict[str, Any], update: bool = False) -> float:
        seconds = sum(run["step_s"]) - (sum(run["rollout_s"]) if update else 0.0)
        return float(sum(run["tokens"]) / seconds)

    return {
        "ours": ours,
        "trl": trl,
        "ratio": rate(ours) / rate(trl),
        "ratio_update": rate(ours, update=True) / rate(trl, update=True),
        "ratio_rollouts": statistics.mean(trl["rollout_s"]) / statistics.mean(ours["rollout_s"]),
    }


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--steps", type=int, default=6, help="counted SFT steps")
    parser.add_argument("--rl-steps", type=int, default=2, help="counted RL steps")
    parser.add_argument("--prompts", type=int, default=8, help="questions of an RL step")
    parser.add_argument("--batch", type=int, default=8, help="sequences of an SFT batch")
    parser.add_argument("--only", choices=("sft", *LOADS), help="measure just this")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = ensure_model(args.model)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    report: dict[str, Any] = {}
    with quiet_libraries():
        if args.only in (None, "sft"):
            report["sft"] = compare_sft(folder, tokenizer, args)
        for name in LOADS:
            if args.only in (None, name):
                report[f"rl_{name}"] = compare_rl(folder, tokenizer, name, args)
    report["load_average"] = os.getloadavg()
    if args.json:
        print(json.dumps(report))
        return
    for part, figures in report.items():
        if isinstance(figures, dict):
            print(part, {key: value for key, value in figures.items() if "ratio" in key})


if __name__ == "__main__":
    main()
