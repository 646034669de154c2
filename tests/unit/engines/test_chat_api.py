"""The client of chat APIs: what it repeats, how long it waits, what it spends, what it hides."""

from __future__ import annotations

import asyncio
import email.utils
import time

import httpx
import pytest

from agents.engines.chat_api import ChatApi
from agents.engines.config import OpenAiConfig
from agents.errors import BudgetError, EngineError, StoppedError, UsageError

KEY = "sk-secret-7f3a"
SAID = {
    "choices": [{"message": {"role": "assistant", "content": "Euro"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
}
ASKED = [{"role": "user", "content": "Which currency?"}]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


class Api:
    """An API that gives written answers, one after the other, and a clock that only waits move."""

    def __init__(self, *answers, **settings):
        self.answers = list(answers)
        self.requests = []
        self.waits = []
        config = OpenAiConfig(model="teacher", url="http://api.test/v1", **settings)
        self.client = ChatApi(config, httpx.MockTransport(self.answer), self.wait)

    def answer(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def wait(self, seconds):
        self.waits.append(seconds)

    async def ask(self, max_tokens=100):
        return await self.client.complete(ASKED, max_tokens, 1000)


def said(document=SAID):
    return httpx.Response(200, json=document)


def refused(status, headers=None, message="no"):
    return httpx.Response(status, json={"error": {"message": message}}, headers=headers)


async def test_a_reply_with_its_price():
    api = Api(said(), input_price=2.0, output_price=10.0)
    reply = await api.ask()
    assert (reply.text, reply.finish_reason) == ("Euro", "stop")
    assert reply.cost == pytest.approx(0.003)
    [request] = api.requests
    assert request.url == "http://api.test/v1/chat/completions"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert api.client.spend.cost == pytest.approx(0.003)
    assert (api.client.spend.requests, api.client.spend.reserved) == (1, 0.0)


async def test_what_passes_is_asked_again_and_waits_grow_with_jitter():
    api = Api(refused(429), refused(503), httpx.ConnectError("down"), said())
    assert (await api.ask()).text == "Euro"
    assert api.client.spend.retries == 3
    for attempt, waited in enumerate(api.waits):
        assert 0.5 * 2**attempt <= waited <= 2**attempt
    many = [Api(refused(500), said()) for _ in range(8)]
    await asyncio.gather(*(one.ask() for one in many))
    assert len({one.waits[0] for one in many}) == 8


async def test_it_waits_as_long_as_the_api_asks():
    in_a_minute = email.utils.formatdate(time.time() + 60, usegmt=True)
    api = Api(
        refused(429, {"Retry-After": "7"}), refused(429, {"Retry-After": in_a_minute}), said()
    )
    await api.ask()
    assert api.waits[0] == 7
    assert 50 < api.waits[1] <= 61
    api = Api(refused(429, {"Retry-After": "soon"}), said())
    await api.ask()
    assert api.waits[0] <= 1
    api = Api(refused(429, {"Retry-After": "86400"}), said())
    with pytest.raises(EngineError, match="asks to wait 86400 s"):
        await api.ask()


async def test_what_will_not_pass_is_not_asked_again():
    api = Api(refused(401, message=f"Incorrect API key: {KEY}"))
    with pytest.raises(EngineError, match=r"status 401, Incorrect API key: \[key\]") as failure:
        await api.ask()
    assert len(api.requests) == 1
    assert KEY not in str(failure.value)
    api = Api(refused(500), max_retries=2)
    with pytest.raises(EngineError, match="status 500"):
        await api.ask()
    assert len(api.requests) == 3
    assert api.client.spend.requests == 0


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.Response(200, text="<html>"), "not JSON"),
        (httpx.Response(200, json=[]), "no object"),
        (httpx.Response(200, json={"choices": []}), "without a choice"),
    ],
)
async def test_answers_that_are_none(answer, says):
    with pytest.raises(EngineError, match=says):
        await Api(answer).ask()


async def test_the_budget_is_never_passed():
    """Each reply costs 0.003; the fourth might lead over 0.01 and is not sent."""
    api = Api(said(), input_price=2.0, output_price=10.0, budget=0.01)
    for _ in range(3):
        await api.ask()
    with pytest.raises(BudgetError, match=r"the budget of 0\.01 for teacher is spent") as failure:
        await api.ask()
    assert len(api.requests) == 3
    assert isinstance(failure.value, StoppedError)
    assert failure.value.exit_code == 3


async def test_requests_on_their_way_count_too():
    api = Api(said(), input_price=2.0, output_price=10.0, budget=0.01)
    answers = await asyncio.gather(*(api.ask() for _ in range(6)), return_exceptions=True)
    assert [isinstance(answer, BudgetError) for answer in answers] == [False] * 3 + [True] * 3
    assert len(api.requests) == 3
    # One that failed gives back what was kept for it.
    api = Api(refused(400), said(), input_price=2.0, output_price=10.0, budget=0.004)
    with pytest.raises(EngineError):
        await api.ask()
    assert (await api.ask()).text == "Euro"


async def test_requests_are_spread_over_the_minute():
    api = Api(said(), requests_per_minute=30)
    await asyncio.gather(*(api.ask() for _ in range(3)))
    assert len(api.waits) == 2
    assert 1.9 < api.waits[0] <= 2.0
    assert 3.9 < api.waits[1] <= 4.0


def test_keys_come_from_the_environment_alone(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UsageError, match="the environment has no OPENAI_API_KEY"):
        ChatApi(OpenAiConfig(model="m"))
    assert "Authorization" not in ChatApi(OpenAiConfig(model="m", key_variable=""))._client.headers
    with pytest.raises(ValueError, match="a budget needs"):
        OpenAiConfig(budget=1.0)
    with pytest.raises(ValueError, match="url: it must hold no keys"):
        OpenAiConfig(url=f"https://me:{KEY}@api.test/v1")
