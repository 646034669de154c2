"""What tools show is recorded as it was read, named by its content alone."""

from __future__ import annotations

import hashlib
import threading

import pytest

from agents.config import AgentConfig
from agents.snapshots import PageRecorder
from agents.tools.search import SearchTool
from agents.tools.visit import VisitTool
from agents.trajectory import PageView

CONFIG = AgentConfig()
LYON, FRANCE = "http://wiki.local/Lyon_(city)", "http://wiki.local/France_(country)"


def test_equal_content_is_one_snapshot_and_any_difference_another() -> None:
    recorder = PageRecorder()
    first = recorder.note("u", "t", "text")
    others = {recorder.note(*c) for c in (("v", "t", "text"), ("u", "s", "text"), ("u", "t", "x"))}
    assert recorder.note("u", "t", "text") == first
    assert len(others | {first}) == 4
    assert PageRecorder().note("u", "t", "text") == first
    noted = recorder.drain()
    assert noted[0].page == first
    assert len(noted) == 4
    assert noted[0].text_digest == hashlib.sha256(b"text").hexdigest()
    # What was drained is not new again.
    recorder.note("u", "t", "text")
    assert recorder.drain() == []


def test_a_page_with_lone_surrogates_can_be_stored() -> None:
    recorder = PageRecorder()
    recorder.note("u", "t", "bad \ud800 text")
    (page,) = recorder.drain()
    assert page.text == "bad ? text"


def test_no_page_is_lost_between_threads() -> None:
    recorder = PageRecorder()
    drained: list[str] = []
    over = threading.Event()

    def drain() -> None:
        while not over.is_set():
            drained.extend(page.url for page in recorder.drain())

    thread = threading.Thread(target=drain)
    thread.start()
    for number in range(2000):
        recorder.note(str(number), "t", "x")
    over.set()
    thread.join()
    drained += [page.url for page in recorder.drain()]
    assert sorted(drained, key=int) == [str(number) for number in range(2000)]


async def test_search_notes_whole_pages_under_the_query_that_found_them(web) -> None:
    recorder = PageRecorder()
    found = await SearchTool(web, CONFIG, recorder)({"query": [" Lyon  country", "Lyon France"]})
    pages = {page.page: page for page in recorder.drain()}
    seen = [(pages[each.page].url, pages[each.page].text, each.query) for each in found.pages]
    assert seen == [
        (LYON, web.pages[0].text, "Lyon country"),
        (FRANCE, web.pages[1].text, "Lyon France"),
    ]
    assert tuple(each.url for each in found.pages) == found.urls


async def test_of_a_page_that_cannot_be_read_the_snippet_stays(web, small) -> None:
    class Results(small.web):
        def page(self, url: str) -> None:
            return None

    recorder = PageRecorder()
    await SearchTool(Results(web.pages), CONFIG, recorder)({"query": ["Lyon"]})
    assert [page.text for page in recorder.drain()] == ["Lyon is a city in France."]


async def test_visit_notes_what_it_read_for_which_goal(web) -> None:
    recorder = PageRecorder()
    tool = VisitTool(web, CONFIG, recorder=recorder)
    found = await tool({"url": ["Lyon (city)", "Atlantis"], "goal": "country"})
    assert [(each.url, each.query) for each in found.pages] == [(LYON, "country")]
    (page,) = recorder.drain()
    assert (page.page, page.text) == (found.pages[0].page, web.pages[0].text)
    assert (await tool({"url": "Atlantis", "goal": "x"})).pages == ()


@pytest.mark.parametrize("arguments", [{"query": []}, {"q": ["a"]}])
async def test_a_call_that_was_refused_saw_nothing(web, arguments) -> None:
    assert (await SearchTool(web, CONFIG)(arguments)).pages == ()


async def test_a_trajectory_says_which_pages_came_to_which_turn(
    web, tokenizer, small, job_of
) -> None:
    from agents.runner import run_jobs
    from agents.toolset import make_tools

    recorder = PageRecorder()
    turns = [
        small.call(query=["Lyon country"]),
        small.call("visit", url="France (country)", goal="currency"),
        "<think>t</think><answer>Euro</answer>",
    ]
    tools = make_tools(web, CONFIG, recorder=recorder)
    engine = small.engine(tokenizer, turns)
    (trajectory,) = await run_jobs([job_of()], engine, tokenizer, tools, CONFIG)
    digests = {page.url: page.page for page in recorder.drain()}
    assert trajectory.page_views == (
        PageView(0, "search", "Lyon country", LYON, digests[LYON]),
        PageView(1, "visit", "currency", FRANCE, digests[FRANCE]),
    )
