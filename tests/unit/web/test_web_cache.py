"""The web cache: one call for equal requests, four modes, age, and what is kept of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agents.errors import BudgetError
from agents.tools.base import ToolFailure
from agents.web import cache as cache_module
from agents.web.budget import Budget
from agents.web.cache import CachedAnswer, WebCache, request_key


class Web:
    """Answers with the number of the call; an exception in `failures` is raised once."""

    def __init__(self, *failures, wait=None):
        self.calls = 0
        self.failures = list(failures)
        self.wait = wait

    async def __call__(self):
        self.calls += 1
        if self.wait is not None:
            await self.wait.wait()
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        return {"call": self.calls, "text": "\ud800é"}


async def recorded(*queries) -> list[CachedAnswer]:
    cache, web = WebCache("record"), Web()
    for query in queries:
        await cache.get("page", {"url": query}, web)
    return cache.drain()


async def test_a_recorded_answer_is_given_again_and_drained_once():
    cache, web = WebCache("record"), Web()
    first = await cache.get("page", {"url": "a", "n": 1}, web)
    assert await cache.get("page", {"n": 1, "url": "a"}, web) == first
    assert first == {"call": 1, "text": "\ud800é"}
    (kept,) = cache.drain()
    assert (kept.kind, kept.asked) == ("page", '{"n":1,"url":"a"}')
    assert kept.request == request_key("page", {"url": "a", "n": 1})[0]
    assert kept.response.isascii()
    assert cache.drain() == []
    assert cache.metrics() == {"web_requests": 2, "web_hit_rate": 0.5}


async def test_kind_request_and_format_tell_requests_apart(monkeypatch):
    keys = {request_key(kind, {"q": q})[0] for kind in ("a", "b") for q in ("x", "y")}
    monkeypatch.setattr(cache_module, "FORMAT", 2)
    keys.add(request_key("a", {"q": "x"})[0])
    assert len(keys) == 5


@pytest.mark.parametrize("mode", ["off", "record", "replay"])
async def test_equal_requests_at_the_same_time_make_one_call(mode):
    cache, web = WebCache(mode), Web()
    answers = await asyncio.gather(*(cache.get("page", {"url": "a"}, web) for _ in range(30)))
    assert web.calls == 1
    assert all(answer == answers[0] for answer in answers)
    assert cache.metrics()["web_hit_rate"] == pytest.approx(29 / 30)


async def test_off_keeps_nothing_for_the_store_and_little_at_hand(monkeypatch):
    cache, web = WebCache(), Web()
    await cache.get("page", {"url": "a"}, web)
    await cache.get("page", {"url": "a"}, web)
    assert (web.calls, cache.drain()) == (1, [])
    monkeypatch.setattr(cache_module, "UNRECORDED_BYTES", 100)
    for number in range(9):
        await cache.get("page", {"url": number}, web)
    await cache.get("page", {"url": "a"}, web)
    assert web.calls == 11
    assert cache._num_bytes <= 100


async def test_a_failure_is_not_kept():
    cache, web = WebCache("record"), Web(ToolFailure("down"))
    with pytest.raises(ToolFailure, match="down"):
        await cache.get("page", {"url": "a"}, web)
    assert (await cache.get("page", {"url": "a"}, web))["call"] == 2
    assert len(cache.drain()) == 1


async def test_all_who_wait_for_one_call_see_its_failure():
    cache, web = WebCache("record"), Web(ToolFailure("down"))
    asked = (cache.get("page", {"url": "a"}, web) for _ in range(3))
    failures = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(failure) for failure in failures] == ["down"] * 3
    assert web.calls == 1


async def test_one_callers_end_leaves_the_answer_to_the_others():
    opened = asyncio.Event()
    cache, web = WebCache("record"), Web(wait=opened)
    first, second = (asyncio.ensure_future(cache.get("p", {"u": 1}, web)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    opened.set()
    assert (await second)["call"] == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_call_that_nobody_waits_for_any_more_ends_and_can_be_made_anew():
    cache, web = WebCache("record"), Web(wait=asyncio.Event())
    only = asyncio.ensure_future(cache.get("p", {"u": 1}, web))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    assert (await cache.get("p", {"u": 1}, Web()))["call"] == 1
    assert web.calls == 1


async def test_offline_gives_what_was_recorded_and_asks_nothing():
    cache, web = WebCache("offline", await recorded("a")), Web()
    assert (await cache.get("page", {"url": "a"}, web))["call"] == 1
    with pytest.raises(ToolFailure, match=r'offline holds no answer to page \{"url":"b"\}'):
        await cache.get("page", {"url": "b"}, web)
    assert web.calls == 0
    assert [answer.asked for answer in cache.drain()] == ['{"url":"a"}']


async def test_replay_asks_for_the_rest_and_keeps_all_it_used():
    cache, web = WebCache("replay", await recorded("a", "unused")), Web()
    for url in ("a", "b", "a"):
        await cache.get("page", {"url": url}, web)
    assert web.calls == 1
    assert [answer.asked for answer in cache.drain()] == ['{"url":"a"}', '{"url":"b"}']


async def test_replay_asks_again_for_what_is_too_old_and_offline_does_not():
    (old,) = await recorded("a")
    old = replace(old, fetched_at="2020-01-01T00:00:00.000+00:00")
    web = Web()
    await WebCache("replay", [old], ttl_s=3600).get("page", {"url": "a"}, web)
    assert web.calls == 1
    for cache in (WebCache("replay", [old]), WebCache("offline", [old], ttl_s=3600)):
        await cache.get("page", {"url": "a"}, web)
    assert web.calls == 1


async def test_what_a_stage_kept_before_it_was_interrupted_counts_first():
    (before,), (other,) = await recorded("a"), await recorded("a")
    other = replace(other, response='{"call": 99}')
    cache = WebCache("offline", [other], resumed=[before])
    assert (await cache.get("page", {"url": "a"}, Web()))["call"] == 1
    assert cache.drain() == []


async def test_spending_is_put_down_with_the_next_answer():
    budget = Budget()
    cache = WebCache("record", budget=budget)

    async def paid():
        budget.charge(1, "x")
        return 1

    async def paid_in_vain():
        budget.charge(2, "x")
        raise ToolFailure("down")

    with pytest.raises(ToolFailure):
        await cache.get("s", {"q": 1}, paid_in_vain)
    await cache.get("s", {"q": 2}, paid)
    assert [answer.cost for answer in cache.drain()] == [3]
    assert budget.spent == 3
    again = WebCache("replay", await recorded("a"))
    await again.get("page", {"url": "a"}, Web())
    assert [answer.cost for answer in again.drain()] == [0]


async def test_a_spent_budget_lets_the_calls_under_way_come_back(monkeypatch):
    cache, opened = WebCache("record", budget=Budget(2)), asyncio.Event()

    async def paid():
        cache.budget.charge(1, "x")
        await opened.wait()
        return 1

    asked = [asyncio.ensure_future(cache.get("s", {"q": q}, paid)) for q in range(5)]
    await asyncio.sleep(0.01)
    assert not any(call.done() for call in asked)
    opened.set()
    first, second, *rest = await asyncio.gather(*asked, return_exceptions=True)
    assert (first, second) == (1, 1)
    assert [type(each) for each in rest] == [BudgetError] * 3
    assert [answer.cost for answer in cache.drain()] == [2, 0]
    monkeypatch.setattr(cache_module, "SETTLE_S", 0.01)
    hanging = asyncio.ensure_future(cache.get("p", {"q": 9}, asyncio.Event().wait))
    await asyncio.sleep(0)
    with pytest.raises(BudgetError):
        await cache.get("s", {"q": 3}, paid)
    hanging.cancel()


def test_one_cache_serves_one_event_loop_after_another():
    cache, web = WebCache("record"), Web()
    for _ in range(2):
        asyncio.run(cache.get("page", {"url": "a"}, web))
    assert web.calls == 1
