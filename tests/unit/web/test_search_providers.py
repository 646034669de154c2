"""Providers over a mock transport: their shapes, failures, limits, and keys that stay hidden."""

from __future__ import annotations

import json
import logging
import traceback
from functools import partial

import httpx
import pytest
import search_answers as answers

from agents.errors import StoppedError, UsageError
from agents.pacing import RateLimit
from agents.tools.base import ToolFailure
from agents.web import breaker
from agents.web.budget import Budget
from agents.web.config import WebConfig
from agents.web.search import http_search
from agents.web.search.config import SearchConfig
from agents.web.search.factory import check_search
from agents.web.search.http_search import HttpSearch
from agents.web.search.results import SearchResult

KEY = "sk-very-secret-0123456789"
KEYS = ("SERPER_API_KEY", "BRAVE_API_KEY", "TAVILY_API_KEY")
OWN = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """Keys in the environment, and no real waiting."""
    for name in KEYS:
        monkeypatch.setenv(name, KEY)
    waits: list[float] = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr(http_search.asyncio, "sleep", sleep)
    return waits


class Service:
    """Plays answers in order, the last one for ever, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, json=answer)


def search_of(service, provider="serper", *, budget=None, snippet_words=30, **config):
    if provider in ("searxng", "retriever"):
        config.setdefault("endpoint", OWN)
    return HttpSearch(
        SearchConfig(provider=provider, **config),
        snippet_words,
        budget,
        httpx.MockTransport(service),
    )


async def test_serper():
    service = Service(answers.SERPER)
    found = await search_of(service).search("lyon country", 5)
    assert found == [
        SearchResult(
            "https://en.wikipedia.org/wiki/Lyon",
            "Lyon - Wikipedia",
            "Lyon is the third-largest city of France ...",
        ),
        SearchResult(
            "https://www.britannica.com/place/Lyon-France",
            "Lyon, France",
            "Lyon, capital of the Rhône département.",
        ),
    ]
    (asked,) = service.asked
    assert (asked.method, str(asked.url)) == ("POST", "https://google.serper.dev/search")
    assert json.loads(asked.content) == {"q": "lyon country", "num": 10}
    assert asked.headers["X-API-KEY"] == KEY


async def test_brave():
    service = Service(answers.BRAVE)
    found = await search_of(service, "brave", results=50).search("lyon country", 5)
    assert found == [
        SearchResult(
            "https://example.org/lyon",
            "Lyon & its country",
            "Lyon lies in France's south-east. It has 522,250 inhabitants.",
        )
    ]
    (asked,) = service.asked
    assert (
        str(asked.url)
        == ("https://api.search.brave.com/res/v1/web/search?q=lyon%20country&count=20")
        or asked.url.params["count"] == "20"
    )
    assert asked.headers["X-Subscription-Token"] == KEY


async def test_tavily():
    service = Service(answers.TAVILY)
    found = await search_of(service, "tavily").search("lyon country", 5)
    assert [result.snippet for result in found] == ["Lyon is in France. It is old."]
    assert service.asked[0].headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in service.asked[0].content.decode()


async def test_searxng():
    service = Service(answers.SEARXNG)
    found = await search_of(service, "searxng").search("lyon country", 5)
    assert [(result.title, result.snippet) for result in found] == [
        ("Lyon", "Lyon is in France."),
        ("Home", ""),
    ]
    asked = service.asked[0]
    assert (asked.url.path, dict(asked.url.params)) == (
        "/search",
        {"q": "lyon country", "format": "json"},
    )


@pytest.mark.parametrize("with_scores", [True, False])
async def test_retriever_of_search_r1(with_scores):
    answer = answers.RETRIEVER
    if not with_scores:
        answer = {"result": [[item["document"] for item in answer["result"][0]]]}
    service = Service(answer)
    found = await search_of(service, "retriever", results=2).search("lyon country", 2)
    assert found == [
        SearchResult("doc:7201", "Lyon", "Lyon is a city in France."),
        SearchResult("doc:7202", "Lyon", "Its population is 522,250."),
    ]
    assert json.loads(service.asked[0].content) == {
        "queries": ["lyon country"],
        "topk": 2,
        "return_scores": True,
    }


@pytest.mark.parametrize(
    ("provider", "answer"),
    [
        ("serper", {"searchParameters": {"q": "x"}, "credits": 1}),
        ("brave", {"type": "search", "query": {"original": "x"}}),
        ("tavily", {"results": []}),
        ("searxng", {"results": []}),
        ("retriever", {"result": [[]]}),
    ],
)
async def test_nothing_found_is_no_failure(provider, answer):
    assert await search_of(Service(answer), provider).search("x", 5) == []


@pytest.mark.parametrize("provider", ["serper", "brave", "tavily", "searxng", "retriever"])
@pytest.mark.parametrize("answer", [{}, [], "text", {"result": 3, "results": {}}, {"error": "no"}])
async def test_an_answer_of_another_shape_is_a_failure_and_no_empty_result(provider, answer):
    with pytest.raises(ToolFailure, match=f"search provider {provider} answered in an unknown"):
        await search_of(Service(answer), provider).search("x", 5)


async def test_a_failure_that_passes_is_tried_again(surroundings):
    service = Service(
        httpx.ConnectError("refused"),
        httpx.Response(503),
        httpx.Response(429, headers={"Retry-After": "7"}),
        answers.SERPER,
    )
    assert len(await search_of(service).search("x", 5)) == 2
    assert len(service.asked) == 4
    first, second, third = surroundings
    assert first < 1
    assert second < 1.5
    assert 7 < third < 10


@pytest.mark.parametrize(
    ("answer", "num_asked", "message"),
    [
        (httpx.Response(400), 1, "after 1 attempt: it answered 400"),
        (httpx.Response(401), 1, "does not accept the key in SERPER_API_KEY"),
        (httpx.Response(302, headers={"Location": "http://10.0.0.1/"}), 1, "it answered 302"),
        (httpx.Response(500), 4, "after 4 attempts: it answered 500"),
        (httpx.Response(429, headers={"Retry-After": "3600"}), 1, "it answered 429"),
        (httpx.Response(200, text="<html>"), 4, "the answer is not JSON"),
        (httpx.ReadTimeout("slow"), 4, "slow"),
        (httpx.Response(200, content=b"[" + b" " * 5_000_000), 1, "more than 4000000 bytes"),
    ],
)
async def test_a_failure_that_stays_is_typed(answer, num_asked, message):
    service = Service(answer)
    with pytest.raises(ToolFailure, match=message):
        await search_of(service).search("x", 5)
    assert len(service.asked) == num_asked


async def test_a_provider_that_is_down_is_left_alone_for_a_while(monkeypatch):
    now = [1000.0]
    service = Service(httpx.Response(500))
    search = search_of(service)
    search._breaker._clock = lambda: now[0]
    for _ in range(2):
        with pytest.raises(ToolFailure):
            await search.search("x", 5)
    asked = len(service.asked)
    assert asked == breaker.FAILURES_TO_OPEN
    with pytest.raises(ToolFailure, match=r"failed 5 times in a row \(last: it answered 500\)"):
        await search.search("x", 5)
    assert len(service.asked) == asked
    now[0] += breaker.OPEN_S
    service.answers = [answers.SERPER]
    assert await search.search("x", 5)
    assert await search.search("y", 5)


async def test_calls_are_spread_over_time(monkeypatch):
    waits = []

    async def sleep(seconds):
        waits.append(round(seconds, 1))

    monkeypatch.setattr(http_search, "RateLimit", partial(RateLimit, sleep=sleep))
    search = search_of(Service(answers.SERPER), rate=2)
    for query in "abc":
        await search.search(query, 5)
    assert waits == [0.5, 1.0]


async def test_the_budget_counts_attempts_and_stops_before_it_is_exceeded():
    budget = Budget(limit=2.5, spent=0.5)
    service = Service(httpx.Response(503), answers.SERPER)
    search = search_of(service, budget=budget)
    await search.search("x", 5)
    assert budget.spent == 2.5
    with pytest.raises(StoppedError, match=r"web.budget is 2.5, 2.5 is spent .* costs 1"):
        await search.search("y", 5)
    assert len(service.asked) == 2
    assert budget.take_unrecorded() == 2
    assert StoppedError.exit_code == 3


async def test_what_costs_nothing_needs_no_budget():
    budget = Budget(limit=0)
    assert await search_of(Service(answers.SEARXNG), "searxng", budget=budget).search("x", 5)
    assert await search_of(Service(answers.SERPER), budget=budget, price=0.0).search("x", 5)


@pytest.mark.parametrize("provider", ["serper", "brave", "tavily"])
async def test_no_key_appears_anywhere(provider, caplog):
    caplog.set_level(logging.DEBUG)
    texts = []
    for answer in (
        httpx.Response(401, json={"error": f"bad key {KEY}"}),
        httpx.ConnectError(f"cannot send {KEY}"),
        {KEY: KEY},
    ):
        search = search_of(Service(answer), provider)
        texts += [repr(search), repr(search.asked_of)]
        with pytest.raises(ToolFailure) as caught:
            await search.search("x", 5)
        texts += ["".join(traceback.format_exception(caught.value)), repr(caught.value.__context__)]
    texts += [record.getMessage() for record in caplog.records]
    assert KEY not in "\n".join(texts)


@pytest.mark.parametrize("name", KEYS)
def test_a_missing_key_is_said_before_anything_runs(name, monkeypatch):
    monkeypatch.delenv(name)
    provider = name.partition("_")[0].lower()
    config = WebConfig(search=SearchConfig(provider=provider))
    with pytest.raises(UsageError, match=f"{provider}, but {name} is not set"):
        check_search(config)
    check_search(config.model_copy(update={"cache": "offline"}))
    check_search(WebConfig())


async def test_a_missing_key_asks_nobody(monkeypatch):
    monkeypatch.delenv("SERPER_API_KEY")
    service = Service(answers.SERPER)
    with pytest.raises(UsageError, match="SERPER_API_KEY is not set"):
        await search_of(service).search("x", 5)
    assert service.asked == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"provider": "searxng"}, "needs its address"),
        ({"provider": "retriever", "endpoint": "localhost:8000"}, "no http"),
        ({"provider": "searxng", "endpoint": "http://me:secret@host/"}, "no user, password"),
        ({"provider": "searxng", "endpoint": "http://host/?key=secret"}, "no user, password"),
        ({"endpoint": "http://host/"}, "provider local has none"),
    ],
)
def test_bad_configurations_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        SearchConfig(**config)
