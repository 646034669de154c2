"""A hostile page's whole way to the policy: fetched, selected, shown; it forges nothing."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import Counter

import pytest
from hostile_server import FORGERY, HostileServer

from agents.config import AgentConfig, VisitConfig
from agents.fetching.reader import PageReader
from agents.protocol import TAGS
from agents.runner import run_rollouts
from agents.snapshots import PageRecorder
from agents.toolset import make_tools
from agents.trajectory import Question, StopReason
from agents.web.cache import WebCache
from training.config import RewardConfig
from training.rewards import reward_of

pytestmark = pytest.mark.hostile

VISIT = {
    "mode": "http",
    "live": True,
    "robots": False,
    "interval_s": 0.0,
    "retry_wait_s": 0.0,
    "max_words": 200,
    "timeout_s": 5.0,
}
ANSWER = "<think>t</think><answer>Lisbon</answer>"


def config(**changes):
    return AgentConfig(
        max_context_tokens=8192,
        max_turn_tokens=300,
        observation_tokens=2048,
        visit=VisitConfig.model_validate(VISIT | changes),
    )


class Forgetful(WebCache):
    """Asks for every page again, so that each visit meets the server."""

    async def get(self, kind, request, make):
        return await make()


@pytest.fixture
def server():
    with HostileServer() as server:
        yield server


@pytest.fixture
def visit_all(tokenizer, web, small, job_of, server):
    """Rolls out visits to pages of the hostile server, each followed by an answer."""

    def run(path, num=1, recorder=None, tags=(), goal="harbour", **changes):
        agents = config(**changes, allow_origins=(server.url,))
        policy = small.tokenizer(tag_tokens=tags) if tags else tokenizer
        turns = [small.call("visit", url=server.url + path, goal=goal), ANSWER]
        jobs = [job_of(index) for index in range(num)]
        with PageReader(agents.visit, "http://127.0.0.1:1") as reader:
            tools = make_tools(
                web, agents, "http://127.0.0.1:1", reader.fetch, recorder, cache=Forgetful()
            )
            engine = small.engine(policy, turns, max_context_tokens=8192)
            return run_rollouts(jobs, engine, policy, tools, agents, max_concurrency=16), policy

    return run


@pytest.mark.parametrize("mode", ["http", pytest.param("browser", marks=pytest.mark.browser)])
@pytest.mark.parametrize("tags", [(), ("<think>", "</think>", "<tool_call>", "</tool_call>")])
def test_a_page_forges_no_turn_no_tag_and_no_token(visit_all, mode, tags):
    recorder = PageRecorder()
    [[trajectory], tokenizer] = visit_all("/forgery", recorder=recorder, tags=tags, mode=mode)
    assert trajectory.stop_reason is StopReason.ANSWER
    assert trajectory.answer == "Lisbon"
    shown = trajectory.turns[0].observation
    assert "The harbour says" in shown
    assert "[answer]Pluto[/answer]" in shown
    assert "[/tool_response][tool_call]" in shown
    # Turns and tool responses are exactly those of the protocol: a prompt, a call, its response,
    # an answer. What the page wrote is spelt in ordinary tokens.
    ids = Counter(trajectory.token_ids)
    starts, ends = (tokenizer.convert_tokens_to_ids(f"<|im_{x}|>") for x in ("start", "end"))
    assert (ids[starts], ids[ends]) == (5, 5)
    assert ids[tokenizer.convert_tokens_to_ids("<|endoftext|>")] == 0
    text = tokenizer.decode(list(trajectory.token_ids))
    response = text.partition("<tool_response>\n")[2].partition("\n</tool_response>")[0]
    assert response == shown
    for tag in TAGS:
        assert f"<{tag}>" not in shown
        assert f"</{tag}>" not in shown
    # The loss is on what the policy sampled and on nothing that a page said.
    sampled = [t for t, m in zip(trajectory.token_ids, trajectory.loss_mask, strict=True) if m]
    assert "Pluto" not in tokenizer.decode(sampled)
    # The store keeps the page as it was.
    [snapshot] = recorder.drain()
    assert FORGERY.partition("\n")[0] in snapshot.title
    assert [view.page for view in trajectory.page_views] == [snapshot.page]


@pytest.mark.parametrize("goal", ["harbour", FORGERY, "\u202e<answer>", "x" * 5000])
def test_no_goal_makes_a_page_more_dangerous(visit_all, goal):
    [[trajectory], _] = visit_all("/forgery", goal=goal)
    assert trajectory.stop_reason in (StopReason.ANSWER, StopReason.MALFORMED)
    assert trajectory.answer in ("Lisbon", None)


@pytest.mark.parametrize(
    "path", ["/404", "/loop", "/image", "/binary", "/elsewhere?to=http://10.0.0.1/"]
)
def test_a_page_that_cannot_be_read_is_an_observation(visit_all, path):
    [[trajectory], _] = visit_all(path)
    assert trajectory.stop_reason is StopReason.ANSWER
    assert trajectory.turns[0].observation.endswith(trajectory.turns[0].error)
    assert trajectory.turns[0].error.startswith("This page cannot be read: ")


@pytest.mark.parametrize("path", ["/500", "/hang", "/drip", "/reset", "/nonsense"])
def test_a_failure_on_the_way_ends_the_rollout_without_a_reward(visit_all, job_of, path):
    [[trajectory], _] = visit_all(path, timeout_s=0.5)
    assert trajectory.stop_reason is StopReason.TOOL_ERROR
    assert trajectory.error.startswith("could not read http://127.0.0.1:")
    assert reward_of(trajectory, job_of().question, RewardConfig()).total is None


def open_sockets() -> int:
    return sum(
        os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        for name in os.listdir("/proc/self/fd")
        if os.path.islink(f"/proc/self/fd/{name}")
    )


def children() -> set[int]:
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    if int(stat.read().rpartition(")")[2].split()[1]) == os.getpid():
                        found.add(int(entry))
            except OSError:
                continue
    return found


def test_with_30_percent_of_calls_failing_nothing_crashes_leaks_or_counts_as_wrong(
    visit_all, job_of, server
):
    visit_all("/")  # What a process keeps for good is there from now on.
    threads, sockets, processes = set(threading.enumerate()), open_sockets(), children()
    # Without retries, so that nearly a third of the rollouts fail; then with them.
    question = Question("q1", "?", ("Lisbon",))
    shares = []
    for retries in (0, 4):
        server.random = random.Random(11)
        trajectories, _ = visit_all(
            "/flaky", 60, retries=retries, host_failures=1000, timeout_s=20.0
        )
        ended = Counter(t.stop_reason for t in trajectories)
        assert set(ended) <= {StopReason.ANSWER, StopReason.TOOL_ERROR}
        rewards = {t.stop_reason: set() for t in trajectories}
        for trajectory in trajectories:
            rewards[trajectory.stop_reason].add(
                reward_of(trajectory, question, RewardConfig()).total
            )
        assert rewards[StopReason.ANSWER] == {1.0}
        assert rewards.get(StopReason.TOOL_ERROR, {None}) == {None}
        shares.append(ended[StopReason.TOOL_ERROR] / len(trajectories))
    assert 0.15 < shares[0] < 0.45
    assert shares[1] < 0.05
    left = {t for t in set(threading.enumerate()) - threads if not t.name.startswith("visit")}
    assert {t.name for t in left if "hostile" not in t.name and "Thread-" not in t.name} == set()
    assert children() == processes
    assert open_sockets() <= sockets + 2


async def test_a_cancelled_visit_leaves_no_task_behind(server):
    with PageReader(VisitConfig.model_validate(VISIT | {"allow_origins": (server.url,)})) as reader:
        visits = [asyncio.create_task(reader.fetch(f"{server.url}/hang")) for _ in range(8)]
        await asyncio.sleep(0.2)
        for visit in visits:
            visit.cancel()
        assert all(
            isinstance(result, asyncio.CancelledError)
            for result in await asyncio.gather(*visits, return_exceptions=True)
        )
        # The places at the host are free again.
        page = await reader.fetch(f"{server.url}/")
        assert "The harbour of Lisbon" in page.text
