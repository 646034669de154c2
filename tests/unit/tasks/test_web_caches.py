"""Which record a stage replays, how it is resumed, and what counts as spent."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from agents.errors import StoppedError, UsageError
from agents.web.cache import CachedAnswer, request_key
from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.jobs.cache_log import CacheLog
from tasks.jobs.payload import Job, payload_of
from tasks.runs import RunLog, RunRecord, StageRecord
from tasks.sampling_inputs import sampling_sections
from tasks.web_caches import SOURCES, replayed_caches


def answer(query: str, text: str = "x", cost: float = 0.0) -> CachedAnswer:
    key, asked = request_key("page", {"url": query})
    return CachedAnswer(key, "page", asked, f'"{text}"', "2026-01-01T00:00:00+00:00", 0.1, cost)


class Recorded:
    """A store in which runs record answers."""

    def __init__(self, uri: str) -> None:
        self.store = ArtifactStore.open(uri)
        self.log = RunLog(self.store.objects)

    def start(self, run: str, started_at: str) -> None:
        self.log.save_run(RunRecord(run, "smoke", 0, "done", started_at))

    def stage(self, run, stage, *answers, subject="", mode="record", reused=False, **metrics):
        key = f"{stage}-{run}{subject}"
        ref = self.store.write_table(
            "web_cache",
            [asdict(each) for each in answers],
            stage_key=key,
            name="web_cache",
            run=run,
            metadata={"mode": mode},
        )
        number = len(self.log.stages())
        record = StageRecord(
            run,
            1,
            stage,
            key,
            "done",
            subject,
            (ref,),
            reused,
            started_at=f"2026-01-01T00:00:{number:02d}",
            metrics=metrics,
        )
        self.log.save_stage(record)
        return ref

    def config(self, **web) -> StageConfig:
        return StageConfig.model_validate({"store": {"uri": self.store.uri}, "web": web})

    def chosen(self, run="now", stage="rollout", subject="", **web):
        context = StageContext(run=run, iteration=1, subject=subject)
        return replayed_caches(self.store, self.config(**web), context, stage)

    def job(self, run="now", key="rollout-now", sources=(), **web) -> Job:
        context = StageContext(run=run, iteration=1)
        options = {SOURCES: [ref.to_json() for ref in sources]}
        return Job(payload_of(self.config(**web), context, key, {}, options))


@pytest.fixture
def recorded(tmp_path) -> Recorded:
    return Recorded(str(tmp_path / "store"))


def test_the_same_stage_counts_first_then_the_latest(recorded):
    first = recorded.stage("a", "rollout", answer("1"))
    base = recorded.stage("a", "gate", answer("2"), subject="current")
    other = recorded.stage("a", "gate", answer("3"), subject="candidate")
    assert recorded.chosen(cache="offline") == [first, other, base]
    chosen = recorded.chosen(stage="gate", subject="current", cache="offline")
    assert chosen == [base, other, first]
    assert recorded.chosen(cache="record") == recorded.chosen(cache="off") == []


def test_the_latest_run_that_recorded_is_replayed_and_offline_runs_record_nothing(recorded):
    recorded.stage("a", "rollout", answer("1"))
    later = recorded.stage("b", "rollout", answer("2"))
    recorded.stage("c", "rollout", answer("3"), mode="offline")
    assert recorded.chosen(cache="replay") == [later]


def test_a_run_is_not_moved_by_what_is_recorded_after_its_start(recorded):
    early = recorded.stage("a", "rollout", answer("1"))
    started_at = recorded.store.manifest(early).created_at
    recorded.start("now", started_at + "5")
    later = recorded.stage("b", "rollout", answer("2"))
    recorded.stage("now", "cold_start", answer("3"), mode="replay")
    assert recorded.chosen(cache="replay") == [early]
    recorded.start("now", "2999-01-01")
    assert recorded.chosen(cache="replay") == [later]


def test_a_run_may_replay_what_it_recorded_under_the_same_name(recorded):
    recorded.start("now", "2000-01-01")
    own = recorded.stage("now", "rollout", answer("1"))
    assert recorded.chosen(cache="offline") == [own]


def test_another_record_can_be_named(recorded):
    named = recorded.stage("a", "rollout", answer("1"))
    recorded.stage("b", "rollout", answer("2"))
    for text in ("a", "rollout-a/web_cache", named.digest[:12]):
        assert recorded.chosen(cache="offline", cache_from=text) == [named]
    with pytest.raises(UsageError, match="there is none in this store"):
        recorded.chosen(cache="offline", cache_from="nobody")


def test_without_a_record_replay_asks_and_offline_stops(recorded):
    assert recorded.chosen(cache="replay") == []
    with pytest.raises(UsageError, match=r"web.cache=offline: the store .* has no recorded web"):
        recorded.chosen(cache="offline")


def test_keys_differ_where_results_may(recorded):
    def sections(**web):
        return sampling_sections(recorded.config(**web))["web"]

    plain = sections()
    modes = [sections(cache=mode) for mode in ("record", "replay", "offline")]
    assert plain not in modes
    assert len({str(mode) for mode in modes}) == 3
    same = {"search": {"timeout_s": 3, "rate": 2, "price": 1}}
    assert sections(**same) == plain
    assert sections(cache="record", budget=5) == sections(cache="record", budget=9)
    other = {"search": {"provider": "searxng", "endpoint": "http://127.0.0.1:1"}}
    assert sections(**other) != plain


async def test_a_stage_goes_on_with_the_answers_it_had(recorded):
    first = CacheLog(recorded.job(cache="record"))

    async def ask():
        return "first"

    await first.cache.get("page", {"url": "1"}, ask)
    first.flush()
    again = CacheLog(recorded.job(cache="record"))
    assert await again.cache.get("page", {"url": "1"}, None) == "first"
    (ref,) = again.write()
    rows = recorded.store.read_table(ref).to_pylist()
    assert [(row["asked"], row["response"]) for row in rows] == [('{"url":"1"}', '"first"')]
    assert recorded.store.manifest(ref).metadata["mode"] == "record"


async def test_a_replayed_stage_keeps_what_it_used_and_names_its_sources(recorded):
    source = recorded.stage("a", "rollout", answer("1", "kept", cost=3), answer("unused"))
    log = CacheLog(recorded.job(sources=[source], cache="offline"))
    assert await log.cache.get("page", {"url": "1"}, None) == "kept"
    (ref,) = log.write()
    assert recorded.store.manifest(ref).parents == (source,)
    (row,) = recorded.store.read_table(ref).to_pylist()
    assert row["cost"] == 0
    assert log.metrics() == {"web_requests": 1, "web_hit_rate": 1, "web_spend": 0}


def test_nothing_is_written_when_off(recorded):
    log = CacheLog(recorded.job())
    log.flush()
    assert log.write() == []
    assert recorded.store.objects.paths("") == []


def test_the_budget_is_the_runs_and_what_was_paid_before_counts(recorded):
    recorded.stage("now", "cold_start", web_spend=4.0)
    recorded.stage("now", "gate", web_spend=100.0, reused=True)
    recorded.stage("other", "gate", web_spend=100.0)
    before = CacheLog(recorded.job(cache="record", budget=10))
    before._log.append([asdict(answer("1", cost=3.0))])
    log = CacheLog(recorded.job(cache="record", budget=10))
    log.cache.budget.charge(3.0, "x")
    with pytest.raises(StoppedError, match=r"web.budget is 10, 10 is spent"):
        log.cache.budget.charge(0.5, "x")
    assert log.metrics()["web_spend"] == 6


@pytest.mark.parametrize(
    ("web", "message"),
    [
        ({"budget": 3}, "set web.cache to record or replay"),
        ({"cache_from": "a"}, "only web.cache=replay or offline reads it"),
        ({"cache": "always"}, "'off', 'record', 'replay' or 'offline'"),
    ],
)
def test_bad_combinations_are_refused(recorded, web, message):
    with pytest.raises(ValueError, match=message):
        recorded.config(**web)
