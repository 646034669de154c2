"""Measures the engine on rollouts against a plain loop over Transformers' `generate`, in one run.

The work is rollout-like: every conversation starts with the same instructions and its own
question, samples a turn, gets an observation, and so on. The plain loop runs all conversations
in step, left-padded, and prefills the whole conversation again each turn. Two plain rates of the
same minutes, generation at full batch and prefill, give the bound

    sampled / (plain generation rate) + prefilled / (plain prefill rate)

which rollouts may exceed by a quarter at most.

    python benchmarks/engine.py --model FOLDER [--sessions 64] [--turns 3] [--replicas 2] [--json]

On a machine that is busy with other work, `--clock cpu --threads 1` compares CPU time instead.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from agents.engines.base import Engine, SamplingParams
from agents.engines.config import EngineConfig
from agents.engines.factory import make_engine

CONTEXT_TOKENS = 1280
DAY_GENERATION, DAY_PREFILL = 237.0, 2608.0
"""Plain rates in tokens/s, once measured on an idle 2-core machine with AMX."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class Workload:
    """Token ids of what is put in, and how many tokens each turn samples."""

    prompts: list[list[int]]
    observations: list[list[list[int]]]
    lengths: list[list[int]]

    @property
    def num_sampled(self) -> int:
        """Tokens that are sampled."""
        return sum(map(sum, self.lengths))

    @property
    def num_prompt(self) -> int:
        """Tokens that are put in, each counted once."""
        observed = sum(len(ids) for turns in self.observations for ids in turns)
        return sum(map(len, self.prompts)) + observed


def make_workload(args: argparse.Namespace, vocab_size: int) -> Workload:
    stream = random.Random(args.seed)

    def ids(count: int) -> list[int]:
        return [stream.randrange(100, vocab_size - 1) for _ in range(count)]

    def about(mean: int) -> int:
        return stream.randint(mean // 2, mean + mean // 2)

    shared = ids(args.instruction_tokens)
    questions = [ids(30) for _ in range(-(-args.sessions // args.rollouts))]
    return Workload(
        [shared + questions[number // args.rollouts] for number in range(args.sessions)],
        [
            [ids(about(args.observation_tokens)) for _ in range(args.turns - 1)]
            for _ in range(args.sessions)
        ],
        [[about(args.turn_tokens) for _ in range(args.turns)] for _ in range(args.sessions)],
    )


async def run_engine(engine: Engine, work: Workload, temperature: float) -> None:
    async def converse(number: int) -> None:
        session = f"session-{number}"
        ids = list(work.prompts[number])
        for turn, length in enumerate(work.lengths[number]):
            if turn:
                ids += work.observations[number][turn - 1]
            sampling = SamplingParams(temperature, 1.0, length, number * 97 + turn, ())
            ids += (await engine.generate(session, ids, sampling)).token_ids
        engine.release(session)

    await asyncio.gather(*map(converse, range(len(work.prompts))))


@torch.inference_mode()
def run_plain(model: PreTrainedModel, work: Workload, temperature: float) -> None:
    """All conversations in step; a turn is as long as its longest, as `generate` has it."""
    ids = [list(prompt) for prompt in work.prompts]
    for turn in range(len(work.lengths[0])):
        if turn:
            for number, observations in enumerate(work.observations):
                ids[number] += observations[turn - 1]
        longest = max(lengths[turn] for lengths in work.lengths)
        sampled = plain_generate(model, ids, longest, temperature)
        for number, lengths in enumerate(work.lengths):
            ids[number] += sampled[number][: lengths[turn]]


def plain_generate(
    model: PreTrainedModel, ids: list[list[int]], num_tokens: int, temperature: float
) -> list[list[int]]:
    width = max(map(len, ids))
    padded = torch.tensor([[0] * (width - len(row)) + row for row in ids])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids])
    out = model.generate(
        padded, attention_mask=mask, max_new_tokens=num_tokens, min_new_tokens=num_tokens,
        do_sample=temperature > 0, temperature=temperature or None, top_k=0, pad_token_id=0,
    )  # fmt: skip
    return out[:, width:].tolist()


@torch.inference_mode()
def plain_rates(
    model: PreTrainedModel, work: Workload, num_tokens: int, clock: Clock
) -> tuple[float, float]:
    """Plain generation and prefill rates in tokens/s: 64 short prompts, and one of 512 tokens."""
    prompts = [prompt[-32:] for prompt in work.prompts]
    plain_generate(model, prompts, 2, 1.0)
    started = clock()
    plain_generate(model, prompts, num_tokens, 1.0)
    generation = len(prompts) * num_tokens / (clock() - started)
    flat = torch.tensor([[token for prompt in work.prompts for token in prompt][:512]])
    model(flat, logits_to_keep=1)
    started = clock()
    for _ in range(3):
        model(flat, logits_to_keep=1)
    prefill = 3 * flat.shape[1] / (clock() - started)
    return generation, prefill


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="plain model folder")
    parser.add_argument("--sessions", type=int, default=64)
    parser.add_argument("--rollouts", type=int, default=4, help="sessions of one question")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--turn-tokens", type=int, default=36)
    parser.add_argument("--observation-tokens", type=int, default=90)
    parser.add_argument("--instruction-tokens", type=int, default=110)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--rate-tokens", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-plain", action="store_true", help="leave the plain loop out")
    parser.add_argument("--threads", type=int, default=None, help="of everything that is measured")
    parser.add_argument(
        "--replicas", type=int, default=1, help="engines of one thread each, as profile laptop has"
    )
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    clock = time.perf_counter if args.clock == "wall" else time.process_time
    if args.threads is not None:
        torch.set_num_threads(args.threads)

    threads = 1 if args.replicas > 1 else args.threads
    config = EngineConfig(batch_size=args.batch_size, num_replicas=args.replicas, threads=threads)
    engine = make_engine(args.model, config, CONTEXT_TOKENS)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=engine.dtype)
    work = make_workload(args, model.config.vocab_size)

    generation, prefill = plain_rates(model, work, args.rate_tokens, clock)
    started = clock()
    asyncio.run(run_engine(engine, work, args.temperature))
    engine_s = clock() - started
    again, prefill_again = plain_rates(model, work, args.rate_tokens, clock)
    generation, prefill = (generation + again) / 2, (prefill + prefill_again) / 2
    stats = engine.stats
    bound = work.num_sampled / generation + work.num_prompt / prefill
    report = {
        "sampled_tokens": work.num_sampled,
        "prompt_tokens": work.num_prompt,
        "plain_generation_tokens_per_s": generation,
        "plain_prefill_tokens_per_s": prefill,
        "engine_s": engine_s,
        "engine_generation_tokens_per_wall_s": stats.sampled_tokens
        / (stats.decode_s / args.replicas),
        "engine_prefill_tokens_per_wall_s": stats.prefilled_tokens
        / (stats.prefill_s / args.replicas),
        "engine_reused_tokens": stats.reused_tokens,
        "bound_s": bound,
        "engine_over_bound": engine_s / bound,
        "engine_over_237_2608_bound": engine_s
        / (work.num_sampled / DAY_GENERATION + work.num_prompt / DAY_PREFILL),
    }
    engine.close()
    if not args.no_plain:
        started = clock()
        run_plain(model, work, args.temperature)
        report["plain_s"] = clock() - started
        report["plain_over_engine"] = report["plain_s"] / engine_s
    if args.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:36} {value:12,.2f}")


if __name__ == "__main__":
    main()
