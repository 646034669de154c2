"""Failures outside the policy: a few are borne, many stop the stage, none is a wrong answer."""

from __future__ import annotations

import dataclasses

import pytest

from agents.config import AgentConfig
from agents.errors import EngineError, StageError
from agents.failures import ALWAYS_BORNE, FailureBudget
from agents.runner import run_rollouts
from agents.snapshots import PageRecorder
from agents.toolset import make_tools
from agents.trajectory import StopReason
from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig
from tasks.jobs.page_log import PageLog
from tasks.jobs.sampling import Sampler
from tasks.shards import ShardLog

ANSWER = "<think>t</think><answer>Euro</answer>"
CONFIG = AgentConfig(max_context_tokens=2048, max_turn_tokens=200)


@pytest.fixture
def failed(tokenizer, web, small, job_of):
    engine = small.engine(tokenizer, [EngineError("out of memory")])
    [trajectory] = run_rollouts([job_of()], engine, tokenizer, make_tools(web, CONFIG), CONFIG)
    return trajectory


@pytest.mark.parametrize(
    ("planned", "share", "borne"),
    [(200, 0.05, 10), (1000, 0.05, 50), (10, 0.05, ALWAYS_BORNE), (100, 0.0, ALWAYS_BORNE)],
)
def test_one_more_than_is_borne_stops_the_stage_and_says_why(failed, planned, share, borne):
    budget = FailureBudget(AgentConfig(max_failed_share=share))
    budget.plan(planned)
    for _ in range(borne):
        budget.note(failed)
    with pytest.raises(StageError) as stopped:
        budget.note(failed)
    assert str(stopped.value) == (
        f"stopped: {borne + 1} of {planned} rollouts failed for reasons outside the policy, more "
        f"than {share:.0%} (agents.max_failed_share); the last ended with engine_error: out of "
        "memory"
    )


def test_what_the_policy_did_is_not_counted(failed):
    budget = FailureBudget(AgentConfig(max_failed_share=0.0))
    budget.plan(10)
    for reason in StopReason:
        if not reason.is_infrastructure:
            for _ in range(10):
                budget.note(dataclasses.replace(failed, stop_reason=reason))
    # All of the budget is left.
    for _ in range(ALWAYS_BORNE):
        budget.note(failed)
    with pytest.raises(StageError, match=f"stopped: {ALWAYS_BORNE + 1} of 10"):
        budget.note(failed)


def test_the_stage_ends_at_once_and_frees_its_sessions(tokenizer, web, small, job_of):
    budget = FailureBudget(CONFIG)
    jobs = [job_of(index) for index in range(40)]
    budget.plan(len(jobs))
    engine = small.engine(tokenizer, [0.001, EngineError("out of memory")])
    tools = make_tools(web, CONFIG)
    with pytest.raises(StageError, match="5 of 40 rollouts failed"):
        run_rollouts(jobs, engine, tokenizer, tools, CONFIG, budget.note, max_concurrency=2)
    assert len(engine.asked) < 10
    assert set(engine.asked) == set(engine.released)


def test_failed_rollouts_are_made_anew_when_a_stage_goes_on(
    tokenizer, web, small, job_of, tmp_path
):
    store, recorder = ArtifactStore.open(tmp_path / "store"), PageRecorder()
    config = StageConfig(agents=CONFIG)
    jobs = [job_of(0), job_of(1)]

    def run(turns):
        sampler = Sampler(
            small.engine(tokenizer, turns), tokenizer, make_tools(web, CONFIG), config, recorder
        )
        log, pages = ShardLog(store, "key"), PageLog(store, "key", recorder)
        made = sampler.run_logged(jobs, "Rollouts", log, pages)
        return [t.stop_reason for t in made], sampler.engine

    failed, _ = run([EngineError("out of memory")])
    assert failed == [StopReason.ENGINE_ERROR] * 2
    answered, engine = run([ANSWER])
    assert answered == [StopReason.ANSWER] * 2
    assert len(engine.asked) == 2
    again, engine = run([EngineError("never asked")])
    assert again == [StopReason.ANSWER] * 2
    assert engine.asked == {}
