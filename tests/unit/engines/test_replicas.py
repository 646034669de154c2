"""Several engines behind one face give what one engine gives."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM

from agents.engines.base import Generation, SamplingParams
from agents.engines.config import EngineConfig
from agents.engines.factory import make_engine
from agents.engines.replicas import ReplicatedEngine

GREEDY = SamplingParams(0.0, 1.0, 12, 0, ())


def _config(num_replicas: int) -> EngineConfig:
    return EngineConfig(dtype="float32", batch_size=6, num_replicas=num_replicas)


def _prompts() -> list[list[int]]:
    stream = random.Random(5)
    prompts = [[stream.randrange(3, 331) for _ in range(stream.randrange(8, 60))] for _ in range(7)]
    return [prompt for prompt in prompts for _ in range(2)]


async def _two_turns(engine: object, number: int, prompt: list[int]) -> tuple[Generation, ...]:
    session = f"session {number}"
    first = await engine.generate(session, prompt, GREEDY)
    again = await engine.generate(session, [*prompt, *first.token_ids, 7, 8, 9], GREEDY)
    engine.release(session)
    return first, again


async def test_replicas_sample_what_one_engine_samples(model_dirs: dict[str, Path]) -> None:
    results = {}
    for num_replicas in (1, 3):
        engine = make_engine(model_dirs["llama"], _config(num_replicas), 200)
        try:
            turns = [_two_turns(engine, n, prompt) for n, prompt in enumerate(_prompts())]
            results[num_replicas] = await asyncio.gather(*turns)
            prefilled = engine.stats.prefilled_tokens + engine.stats.reused_tokens
        finally:
            engine.close()
        # Counted before the first token comes, so both turns of every session are in it.
        assert prefilled >= sum(len(prompt) + 3 for prompt in _prompts())
    ids = {n: [[g.token_ids for g in pair] for pair in pairs] for n, pairs in results.items()}
    assert ids[1] == ids[3]


async def test_sessions_are_spread_and_equal_prompts_stay_together(
    model_dirs: dict[str, Path],
) -> None:
    engine = make_engine(model_dirs["llama"], _config(2), 200)
    assert isinstance(engine, ReplicatedEngine)
    try:
        prompts = _prompts()
        await asyncio.gather(
            *(engine.generate(f"s{n}", prompt, GREEDY) for n, prompt in enumerate(prompts))
        )
        places = [engine._place_of_session[f"s{n}"] for n in range(len(prompts))]
        assert all(places[n] == places[n + 1] for n in range(0, len(places), 2))
        assert {places.count(0), places.count(1)} == {6, 8}
        for n in range(len(prompts)):
            engine.release(f"s{n}")
            engine.release("never seen")
        assert engine._num_sessions == [0, 0]
        assert not engine._prompts
    finally:
        engine.close()


async def test_new_weights_reach_every_replica(model_dirs: dict[str, Path]) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_dirs["llama"], dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    engine = make_engine(model_dirs["llama"], _config(2), 200)
    try:
        before = [await engine.generate(f"old {n}", [5 + n, 6, 7], GREEDY) for n in range(2)]
        for n in range(2):
            engine.release(f"old {n}")
        engine.load_weights(model.state_dict())
        after = await asyncio.gather(
            *(engine.generate(f"new {n}", [5 + n, 6, 7], GREEDY) for n in range(2))
        )
        assert {engine._place_of_session[f"new {n}"] for n in range(2)} == {0, 1}
        assert all(old.logprobs != new.logprobs for old, new in zip(before, after, strict=True))
    finally:
        engine.close()


def test_more_replicas_than_places_are_refused() -> None:
    with pytest.raises(ValidationError, match="num_replicas is 3, but batch_size 2"):
        EngineConfig(batch_size=2, num_replicas=3)


def test_no_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="got no engine"):
        ReplicatedEngine([])
