"""Places to generate: freed while tools work, handed to the ready first, fewer under pressure."""

from __future__ import annotations

import asyncio

import pytest

from agents.config import AgentConfig
from agents.engines.base import EngineLoad, Generation, SamplingParams
from agents.places import Places
from agents.runner import run_jobs
from agents.tools.base import Observation
from agents.trajectory import StopReason

CONFIG = AgentConfig(max_context_tokens=2048, max_turn_tokens=200, observation_tokens=200)
ANSWER = "<think>t</think><answer>Euro</answer>"
SAMPLING = SamplingParams(1.0, 1.0, 8, 0, ())


class Engine:
    """Generates once it is told to, and knows who generates."""

    max_context_tokens = 100

    def __init__(self) -> None:
        self.generating: list[str] = []
        self.released: list[str] = []
        self.go: dict[str, asyncio.Event] = {}

    async def generate(self, session, token_ids, sampling):
        self.generating.append(session)
        try:
            await self.go.setdefault(session, asyncio.Event()).wait()
        finally:
            self.generating.remove(session)
        self.go.pop(session)
        return Generation((1,), (0.0,), "stop")

    def release(self, session):
        self.released.append(session)

    def close(self):
        raise AssertionError("the engine is not the runner's to close")


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Gate:
    """A tool whose calls return when they are let go."""

    name = "search"

    def __init__(self) -> None:
        self.schema = {"name": "search", "parameters": {"type": "object"}}
        self.calls = 0
        self.open = asyncio.Event()

    async def __call__(self, arguments):
        self.calls += 1
        await self.open.wait()
        return Observation("found")


async def test_a_trajectory_that_waits_for_its_tool_holds_no_place(tokenizer, small, job_of):
    """With one place, the last trajectory's call is reached though no call has returned."""
    tool, jobs = Gate(), [job_of(i) for i in range(4)]
    engine = small.engine(tokenizer, [small.call(query=["Lyon"]), ANSWER])
    running = asyncio.create_task(
        run_jobs(jobs, engine, tokenizer, {"search": tool}, CONFIG, max_concurrency=1, max_open=4)
    )
    async with asyncio.timeout(30):
        while tool.calls < len(jobs):
            await asyncio.sleep(0.005)
    tool.open.set()
    trajectories = await running
    assert all(t.stop_reason is StopReason.ANSWER for t in trajectories)


async def test_no_more_are_open_than_allowed(tokenizer, small, job_of):
    tool, stats = Gate(), []
    jobs = [job_of(i) for i in range(6)]
    engine = small.engine(tokenizer, [small.call(query=["Lyon"]), ANSWER])
    running = asyncio.create_task(
        run_jobs(
            jobs, engine, tokenizer, {"search": tool}, CONFIG,
            max_concurrency=2, max_open=3, on_stats=stats.append,
        )
    )  # fmt: skip
    async with asyncio.timeout(30):
        while tool.calls < 3:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)
    assert tool.calls == 3
    tool.open.set()
    assert len(await running) == 6
    assert (stats[0].most_open, stats[0].most_generating) == (3, 2)


async def test_places_stay_busy_while_tools_are_slow(tokenizer, small, job_of):
    """Tools take twice as long as generations: held places would be busy a third of the time."""
    stats = []

    class Slow(Gate):
        async def __call__(self, arguments):
            await asyncio.sleep(0.2)
            return Observation("found")

    class Busy(small.engine):
        async def generate(self, session, token_ids, sampling):
            await asyncio.sleep(0.1)
            return await super().generate(session, token_ids, sampling)

    engine = Busy(tokenizer, [small.call(query=["Lyon"]), small.call(query=["Lyon"]), ANSWER])
    jobs = [job_of(i) for i in range(24)]
    await run_jobs(
        jobs, engine, tokenizer, {"search": Slow()}, CONFIG,
        max_concurrency=3, max_open=24, on_stats=stats.append,
    )  # fmt: skip
    assert stats[0].busy_share > 0.7
    assert 3 < stats[0].most_open < 24


async def test_whoever_is_ready_goes_before_whoever_is_new():
    engine = Engine()
    places = Places(engine, 1, 3, 3)
    await places.open("a")
    first = asyncio.create_task(places.generate("a", [1], SAMPLING))
    await settle()
    # A second one is ready while a third might be opened: the ready one gets the place.
    opening = asyncio.create_task(places.open("b"))
    again = asyncio.create_task(places.generate("c", [1], SAMPLING))
    await settle()
    assert engine.generating == ["a"]
    assert not opening.done()
    engine.go["a"].set()
    await first
    await settle()
    assert engine.generating == ["c"]
    assert not opening.done()
    engine.go["c"].set()
    await again
    async with asyncio.timeout(10):
        await opening
    assert places.stats.most_generating == 1


async def test_one_that_is_cancelled_while_it_waits_leaves_its_turn_to_the_next():
    engine = Engine()
    places = Places(engine, 1, 9, 0)
    tasks = {}
    for name in "abc":
        tasks[name] = asyncio.create_task(places.generate(name, [1], SAMPLING))
        await settle()
    tasks["b"].cancel()
    engine.go["a"].set()
    await settle()
    assert engine.generating == ["c"]
    # One whose turn had come when it was cancelled gives it back.
    tasks["d"] = asyncio.create_task(places.generate("d", [1], SAMPLING))
    tasks["e"] = asyncio.create_task(places.generate("e", [1], SAMPLING))
    await settle()
    engine.go["c"].set()
    for _ in range(3):
        await asyncio.sleep(0)
    tasks["d"].cancel()
    await settle()
    assert engine.generating == ["e"]
    engine.go["e"].set()
    await tasks["e"]
    with pytest.raises(asyncio.CancelledError):
        await tasks["b"]


async def test_pressure_takes_places_away_and_gives_them_back():
    engine = Engine()
    places = Places(engine, 20, 40, 0)
    full, roomy = EngineLoad(20, 0, 0.97), EngineLoad(10, 0, 0.4)
    places.adapt(full)
    assert places.stats.least_places == 20, "one look is not enough"
    for _ in range(60):
        places.adapt(full)
    assert places.stats.least_places == 1
    tasks = [asyncio.create_task(places.generate(str(i), [1], SAMPLING)) for i in range(3)]
    await settle()
    assert len(engine.generating) == 1
    for _ in range(2):
        places.adapt(roomy)
    await settle()
    assert len(engine.generating) == 3
    for event in engine.go.values():
        event.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    ("load", "fewer"),
    [
        (EngineLoad(8, 6, 0.5), True),
        (EngineLoad(8, 2, 0.5), False),
        (EngineLoad(8, 0, 0.9), False),
        (EngineLoad(8, 9), True),
        (EngineLoad(8, 0), False),
    ],
)
async def test_a_queue_in_the_engine_is_pressure_too(load, fewer):
    places = Places(Engine(), 8, 16, 0)
    for _ in range(3):
        places.adapt(load)
    assert (places.stats.least_places < 8) is fewer
