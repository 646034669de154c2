"""The engine of a rollout benchmark: which one, its raw rates, and the CPU time that it had."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from agents.engines.base import Engine, SamplingParams
from agents.engines.config import EngineConfig
from agents.engines.vllm import VllmEngine
from agents.engines.vllm_server import find_python
from agents.errors import EngineError


def engine_config(args: argparse.Namespace) -> EngineConfig:
    """The engine that is asked for; makes vLLM's environment where it is missing."""
    if args.engine == "transformers":
        return EngineConfig(batch_size=args.at_once, num_replicas=2, threads=1)
    try:
        python = find_python(args.python)
    except EngineError:
        print("no vLLM here: running `make vllm`", file=sys.stderr)
        root = Path(__file__).resolve().parents[1]
        subprocess.run(["make", "vllm"], cwd=root, check=True, stdout=sys.stderr)
        python = find_python(args.python)
    return EngineConfig(kind="vllm", batch_size=args.at_once, vllm={"python": python})


async def raw_rates(
    engine: Engine, at_once: int, prompt_tokens: int, seed: int
) -> dict[str, float]:
    """Tokens per second: generated at full batch and by one session alone, and prefilled.

    Args:
        engine: The engine.
        at_once: Sessions of a full batch.
        prompt_tokens: Tokens of a prompt that is prefilled.
        seed: Seed of the prompts.
    """
    stream = random.Random(seed)

    async def run(count: int, prompt: int, length: int) -> float:
        prompts = [[stream.randrange(300, 40000) for _ in range(prompt)] for _ in range(count)]
        started = time.perf_counter()
        await asyncio.gather(
            *(
                engine.generate(f"raw {n}", ids, SamplingParams(1.0, 1.0, length, seed + n, ()))
                for n, ids in enumerate(prompts)
            )
        )
        for n in range(count):
            engine.release(f"raw {n}")
        return time.perf_counter() - started

    await run(2, 16, 4)
    alone = (await run(1, 16, 33)) - (await run(1, 16, 1))
    full = (await run(at_once, 16, 65)) - (await run(at_once, 16, 1))
    prefill = await run(at_once, prompt_tokens, 1)
    return {
        "generation": at_once * 64 / full,
        "alone": 32 / alone,
        "prefill": at_once * prompt_tokens / prefill,
    }


def cpu_seconds(engine: Engine) -> float:
    """CPU time of the engine's processes so far: what other work on the machine left of it."""
    if not isinstance(engine, VllmEngine):
        return time.process_time()
    assert engine.server is not None, "the server is ours"
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[2]) == engine.server.pid:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
