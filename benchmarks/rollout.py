"""Measures rollouts with slow tools: our runner against TRL's own tool loop, in one run.

Same model, engine, questions, tools, texts and seeds; three calls a trajectory, whose latencies are
lognormal around 0.5 s, and 10 s for one in twenty. TRL rolls out batches of `--at-once`; our
runner generates for as many at once, first with just as many open, then as it is by default, where
more are open while others wait for their tools.

    python -m benchmarks.rollout --json [--engine vllm] [--model NAME] [--trajectories 128]

Both systems go once before anything is counted, since an engine makes kernels for the shapes that
it meets. The bound is the larger of two times that no runner can beat: the engine's work at its raw
rates (the better of before and after), and the longest trajectory alone (its latencies, and its
tokens at the rate of a single session). Where there is no vLLM, `make vllm` is run first.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from agents.assets.model import ensure_model
from agents.engines.base import Engine
from agents.engines.factory import make_engine
from agents.runner import RunnerStats, run_jobs
from agents.trajectory import StopReason
from benchmarks.measured_engine import cpu_seconds, engine_config, raw_rates
from benchmarks.scripted_load import (
    Load,
    ScriptedTokens,
    SlowSearch,
    make_load,
    make_setting,
)

CONTEXT_TOKENS = 1280


def run_ours(engine: Engine, tokenizer: Any, load: Load, at_once: int, most: int) -> dict[str, Any]:
    """Our runner over the whole load."""
    setting = make_setting(tokenizer, load)
    scripted = ScriptedTokens(engine, load, setting.chat)
    stats: list[RunnerStats] = []
    started = time.perf_counter()
    trajectories = asyncio.run(
        run_jobs(
            [script.job for script in load.scripts],
            scripted,
            tokenizer,
            {"search": SlowSearch(load)},
            setting.config,
            max_concurrency=at_once,
            max_open=most,
            on_stats=stats.append,
        )
    )
    seconds = time.perf_counter() - started
    for trajectory in trajectories:
        assert trajectory.stop_reason is StopReason.ANSWER, (trajectory.error, trajectory.turns)
        assert trajectory.num_tool_calls == len(load.scripts[0].queries)
    [used] = stats
    return {
        "seconds": seconds,
        "trajectories_per_s": len(trajectories) / seconds,
        "busy_share": used.busy_share,
        "most_open": used.most_open,
        "most_generating": used.most_generating,
        "least_places": used.least_places,
        "engine_busy_share": scripted.generating_s / seconds,
        "sampled": scripted.num_sampled,
        "prefilled": scripted.num_prefilled,
    }


def run_trl(engine: Engine, tokenizer: Any, load: Load, at_once: int) -> dict[str, Any]:
    """TRL's loop, batch after batch."""
    from benchmarks.trl_loop import TrlLoop

    setting = make_setting(tokenizer, load)
    scripted = ScriptedTokens(engine, load, setting.chat)
    loop = TrlLoop(tokenizer, scripted, load, setting)
    started = time.perf_counter()
    answered = 0
    for start in range(0, len(load.scripts), at_once):
        answered += loop.run(list(load.scripts[start : start + at_once]))
    seconds = time.perf_counter() - started
    loop.close()
    assert answered == len(load.scripts), f"only {answered} answered"
    return {
        "seconds": seconds,
        "trajectories_per_s": answered / seconds,
        "engine_busy_share": scripted.generating_s / seconds,
        "sampled": scripted.num_sampled,
        "prefilled": scripted.num_prefilled,
    }


def bound_s(load: Load, rates: dict[str, float], run: dict[str, Any], tokenizer: Any) -> float:
    """Seconds that no runner can beat: the engine's work, or the longest trajectory alone."""
    setting = make_setting(tokenizer, load)
    # Rollouts of one question share its prompt, and all share the instructions.
    prompts = {s.job.question.text: setting.prompt_ids(s.job.question.text) for s in load.scripts}
    every = sum(len(prompts[s.job.question.text]) for s in load.scripts)
    columns = zip(*prompts.values(), strict=False)
    shared = sum(1 for _ in itertools.takewhile(lambda ids: len(set(ids)) == 1, columns))
    distinct = shared + sum(len(ids) - shared for ids in prompts.values())
    prefilled = run["prefilled"] - every + distinct
    work = run["sampled"] / rates["generation"] + prefilled / rates["prefill"]
    longest = max(
        sum(load.latencies[query] for query in script.queries)
        + sum(len(setting.chat.encode(turn)) + 1 for turn in script.turns) / rates["alone"]
        for script in load.scripts
    )
    return max(work, longest)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    from transformers import AutoTokenizer

    folder = ensure_model(args.model)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    load = make_load(args.trajectories // args.rollouts, args.rollouts, args.seed)
    config = engine_config(args)
    say(f"starting the {config.kind} engine with {folder}")
    engine = make_engine(folder, config, CONTEXT_TOKENS)
    try:
        return compare(engine, tokenizer, load, args)
    finally:
        engine.close()


def compare(engine: Engine, tokenizer: Any, load: Load, args: argparse.Namespace) -> dict[str, Any]:
    at_once, most = args.at_once, args.at_once * 8
    quick = load.without_latency()
    # An engine makes kernels for shapes that it first meets, so both systems go once uncounted.
    warm = run_ours(engine, tokenizer, quick, at_once, most)
    say(f"warming up: {warm['seconds']:.0f} s, {run_trl(engine, tokenizer, quick, at_once)}")
    # What is new in a prompt, in the mean: long prompts would cost more for each token.
    prompt_tokens = warm["prefilled"] // sum(len(script.turns) for script in load.scripts)
    before = asyncio.run(raw_rates(engine, at_once, prompt_tokens, 1))
    parts: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        # Twice each, in an order that other work on the machine favours neither by.
        ("ours_no_latency", lambda: run_ours(engine, tokenizer, quick, at_once, most)),
        ("trl_no_latency", lambda: run_trl(engine, tokenizer, quick, at_once)),
        ("trl_no_latency_again", lambda: run_trl(engine, tokenizer, quick, at_once)),
        ("ours_no_latency_again", lambda: run_ours(engine, tokenizer, quick, at_once, most)),
        ("ours", lambda: run_ours(engine, tokenizer, load, at_once, most)),
        ("ours_as_many_open", lambda: run_ours(engine, tokenizer, load, at_once, at_once)),
        ("trl", lambda: run_trl(engine, tokenizer, load, at_once)),
    ]
    report: dict[str, Any] = {"trajectories": len(load.scripts), "at_once": at_once}
    for name, part in parts:
        cpu_s = cpu_seconds(engine)
        report[name] = part()
        report[name]["cpu_share"] = (cpu_seconds(engine) - cpu_s) / report[name]["seconds"]
        say(f"{name}: {json.dumps(report[name])}")

    def both(name: str, value: str) -> float:
        return float(report[name][value] + report[f"{name}_again"][value])

    after = asyncio.run(raw_rates(engine, at_once, prompt_tokens, 2))
    rates = {name: max(before[name], after[name]) for name in before}
    bound = bound_s(load, rates, report["ours"], tokenizer)
    quick_bound = bound_s(quick, rates, report["ours_no_latency"], tokenizer)
    report |= {
        "engine": args.engine,
        "raw_tokens_per_s": rates,
        "raw_before_and_after": [before, after],
        "mean_latency_s": sum(load.latencies.values()) / len(load.latencies),
        "ratio": report["trl"]["seconds"] / report["ours"]["seconds"],
        "ratio_as_many_open": report["trl"]["seconds"] / report["ours_as_many_open"]["seconds"],
        "ratio_no_latency": both("trl_no_latency", "seconds") / both("ours_no_latency", "seconds"),
        "bound_s": bound,
        "share_of_bound": bound / report["ours"]["seconds"],
        "share_of_no_latency": both("ours_no_latency", "seconds") / 2 / report["ours"]["seconds"],
        "bound_no_latency_s": quick_bound,
        "share_of_bound_no_latency": 2 * quick_bound / both("ours_no_latency", "seconds"),
        "busy_share": report["ours"]["busy_share"],
        "load_average": os.getloadavg(),
    }
    return report


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=("vllm", "transformers"), default="vllm")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--python", default="", help="Python that has vLLM")
    parser.add_argument("--trajectories", type=int, default=128)
    parser.add_argument("--rollouts", type=int, default=4, help="trajectories of one question")
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    report = measure(args := parser.parse_args())
    if args.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:28} {value:.3f}" if isinstance(value, float) else f"{name:28} {value}")


if __name__ == "__main__":
    main()
