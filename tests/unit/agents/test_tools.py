"""Search and visit: arguments, compact observations, reading over HTTP from a real server."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.config import AgentConfig, VisitConfig
from agents.fetching.html_text import text_of_html
from agents.fetching.outcomes import FetchedPage, PageRefused, TransientFailure
from agents.fetching.reader import PageReader
from agents.snapshots import PageRecorder
from agents.tools.base import SeenPage, ToolFailure
from agents.tools.opened_search import OpenedSearch
from agents.tools.opening import PageOpener
from agents.tools.passages import select_passages
from agents.tools.search import SearchTool
from agents.toolset import make_tools
from agents.web.cache import WebCache

CONFIG = AgentConfig()
LYON = "[1] Lyon (city) http://wiki.local/Lyon_(city)\nLyon is a city in France."


async def test_search_shows_compact_results_and_their_addresses(web):
    found = await SearchTool(web, CONFIG)({"query": ["Lyon country"]})
    assert (found.text, found.error) == (LYON, "")
    assert found.urls == ("http://wiki.local/Lyon_(city)",)


async def test_titles_alone_where_addresses_are_not_shown(web):
    found = await SearchTool(web, AgentConfig(show_urls=False))({"query": "Lyon"})
    assert found.text == "[1] Lyon (city)\nLyon is a city in France."
    assert found.urls == ("http://wiki.local/Lyon_(city)",)


async def test_batched_queries_show_each_page_once(web):
    found = await SearchTool(web, CONFIG)({"query": ["Lyon", "Lyon France", "nothing"]})
    assert found.text.count("Lyon is a city") == 1
    assert "[2] France (country)" in found.text
    assert len(found.urls) == 2


async def test_results_are_limited(small):
    web = small.web([small.page(f"Lyon {i}", "x") for i in range(9)])
    found = await SearchTool(web, AgentConfig(search_results=4))({"query": ["Lyon"]})
    assert len(found.urls) == 4


async def test_nothing_found_is_said(web):
    found = await SearchTool(web, CONFIG)({"query": ["Atlantis"]})
    assert (found.text, found.urls, found.error) == ("Nothing found.", (), "")


async def test_equal_queries_are_searched_once(web):
    tool = SearchTool(web, CONFIG)
    for query in ("Lyon country", "Lyon  country ", "Lyon country"):
        await tool({"query": [query]})
    assert web.queries == ["Lyon country"]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"query": []},
        {"query": [""]},
        {"query": [1]},
        {"query": {"a": 1}},
        {"query": ["a"] * 4},
        {"query": ["a"], "filter_year": 2020},
        {"q": ["a"]},
    ],
)
async def test_bad_search_arguments_are_an_error_for_the_policy(web, arguments):
    found = await SearchTool(web, CONFIG)(arguments)
    assert found.error
    assert found.text == f"Error: {found.error}."
    assert web.queries == []


async def test_visit_reads_for_a_goal_by_address_or_title(web):
    tool = make_tools(web, CONFIG)["visit"]
    for address in ("http://wiki.local/Lyon_(city)", " Lyon (city) "):
        read = await tool({"url": address, "goal": "population"})
        assert read.text == "Lyon is a city in France. The population of Lyon is 522,250."
        assert read.urls == ("http://wiki.local/Lyon_(city)",)


async def test_visit_of_several_pages_names_each(web):
    read = await make_tools(web, CONFIG)["visit"](
        {"url": ["Lyon (city)", "Atlantis"], "goal": "country"}
    )
    assert read.text.startswith("Lyon (city)\nLyon is a city in France.")
    assert "Atlantis: There is no such page." in read.text
    assert not read.error


async def test_missing_page_is_an_error_for_the_policy(web):
    read = await make_tools(web, CONFIG)["visit"]({"url": "Atlantis", "goal": "country"})
    assert (read.error, read.urls) == ("There is no such page.", ())


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "a"},
        {"goal": "b"},
        {"url": [], "goal": "b"},
        {"url": ["a", "b", "c"], "goal": "d"},
        {"url": [None], "goal": "b"},
        {"url": "a", "goal": ["b"]},
        {"url": "a", "goal": "b", "depth": 2},
    ],
)
async def test_bad_visit_arguments_are_an_error_for_the_policy(web, arguments):
    read = await make_tools(web, CONFIG)["visit"](arguments)
    assert read.text == f"Error: {read.error}."


def test_passages_keep_the_beginning_and_what_fits_the_goal():
    text = "Lyon is a city. It has bridges. Its population is 522,250.\nRivers: Rhône, Saône."
    assert select_passages(text, "populated by how many", 8) == (
        "Lyon is a city. Its population is 522,250."
    )
    assert select_passages(text, "", 7) == "Lyon is a city. It has bridges."
    assert select_passages("a b c d e", "x", 3) == "a b c…"
    assert select_passages("", "x", 3) == ""


@given(st.text(max_size=300), st.text(max_size=30), st.integers(1, 20))
def test_passages_are_sentences_of_the_page_within_the_budget(text, goal, budget):
    passage = select_passages(text, goal, budget)
    assert len(passage.split()) <= budget
    words = {word.rstrip("…") for word in passage.split()}
    assert words <= {word.rstrip("…") for word in text.split()} | {""}


def test_text_of_html_is_the_main_part_in_blocks():
    html = (
        "<html><head><title>t</title><style>p {}</style></head><body><nav>Home</nav><main>"
        "<h1>Lyon &amp; more</h1><p>Lyon is a <a href='/x'>city</a>.</p><script>evil()</script>"
        "<ul><li>One</li><li>Two</ul>&lt;answer&gt;</main><footer>foot</footer></body></html>"
    )
    assert text_of_html(html) == ("Lyon & more", "Lyon is a city.\nOne\nTwo\n<answer>")
    assert text_of_html("<p>a</p><p>b") == ("", "a\nb")
    assert text_of_html("") == ("", "")


@given(st.text(st.sampled_from("<>/amin p&;\"'!-"), max_size=60))
def test_any_html_is_read(html):
    title, text = text_of_html(html)
    assert "\r" not in title + text


class Site(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"<main><h1>Lyon (city)</h1><p>Over HTTP. Population 522,250.</p></main>"
        found = self.path.startswith("/wiki/Lyon_(city)")
        self.send_response(200 if found else 500)
        self.end_headers()
        self.wfile.write(body if found else b"broken")

    def log_message(self, *args):
        pass


@pytest.fixture
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


HTTP = AgentConfig(visit=VisitConfig(mode="http", retry_wait_s=0, timeout_s=5), tool_timeout_s=5)


@pytest.fixture
def http_visit(web, site):
    with PageReader(HTTP.visit, site) as reader:
        yield make_tools(web, HTTP, site, reader.fetch)["visit"]


async def test_visit_over_http_reads_the_sites_html(http_visit):
    read = await http_visit({"url": "Lyon (city)", "goal": "population"})
    assert read.text == "Over HTTP. Population 522,250."
    assert read.urls == ("http://wiki.local/Lyon_(city)",)


async def test_a_recorded_visit_and_search_are_replayed_without_a_request(web, site):
    calls = (
        ("search", {"query": ["Lyon"]}),
        ("visit", {"url": "Lyon (city)", "goal": "population"}),
    )
    recording = WebCache("record")
    with PageReader(HTTP.visit, site) as reader:
        tools = make_tools(web, HTTP, site, reader.fetch, cache=recording)
        recorded = [await tools[name](arguments) for name, arguments in calls]

    async def leaves(url: str) -> FetchedPage:
        pytest.fail(f"a request left for {url}")

    offline = make_tools(
        web, HTTP, "http://127.0.0.1:1", leaves, cache=WebCache("offline", recording.drain())
    )
    assert [await offline[name](arguments) for name, arguments in calls] == recorded
    assert web.queries == ["Lyon"]
    with pytest.raises(ToolFailure, match=r"offline holds no answer to page .*France"):
        await offline["visit"]({"url": "France (country)", "goal": "x"})
    with pytest.raises(ToolFailure, match=r"offline holds no answer to search\.local"):
        await offline["search"]({"query": ["Lyon", "France"]})


async def test_a_site_that_fails_is_not_the_policys_fault(web, http_visit):
    with pytest.raises(ToolFailure, match="answered 500, expected 200"):
        await http_visit({"url": "France (country)", "goal": "x"})
    nowhere = "http://127.0.0.1:1"
    with PageReader(HTTP.visit, nowhere) as reader:
        visit = make_tools(web, HTTP, nowhere, reader.fetch)["visit"]
        with pytest.raises(ToolFailure, match="could not read"):
            await visit({"url": "Lyon (city)", "goal": "x"})


async def test_long_pages_are_read_up_to_the_limit(site):
    limited = HTTP.visit.model_copy(update={"max_page_bytes": 37})
    with PageReader(limited, site) as reader:
        page = await reader.fetch(f"{site}/wiki/Lyon_(city)")
    assert (page.title, page.text) == ("Lyon (city)", "Over HTT")


def test_http_needs_a_site(web):
    with pytest.raises(ValueError, match="no site"):
        make_tools(web, HTTP)


async def test_other_addresses_are_visited_only_where_the_open_web_is(web):
    asked = []

    async def fetch(url):
        asked.append(url)
        if "no" in url:
            raise PageRefused("we do not go there")
        if "down" in url:
            raise TransientFailure("it is down")
        return FetchedPage("http://a.example/end", "End", "The end is here. All is well.")

    closed = make_tools(web, HTTP, "http://site", fetch)["visit"]
    read = await closed({"url": "http://a.example/x", "goal": "end"})
    assert (read.error, asked) == ("There is no such page.", [])
    config = AgentConfig(visit=VisitConfig(mode="http", live=True))
    recorder = PageRecorder()
    visit = make_tools(web, config, "http://site", fetch, recorder)["visit"]
    read = await visit({"url": "http://a.example/x", "goal": "end"})
    assert (read.text, read.urls) == ("The end is here. All is well.", ("http://a.example/end",))
    [snapshot] = recorder.drain()
    assert (snapshot.url, snapshot.title) == ("http://a.example/end", "End")
    assert read.pages == (SeenPage(snapshot.url, snapshot.page, "end"),)
    read = await visit({"url": ["http://no.example/", "Nowhere"], "goal": "end"})
    assert read.error == "This page cannot be read: we do not go there."
    assert read.text == f"http://no.example/: {read.error}\nNowhere: There is no such page."
    with pytest.raises(ToolFailure, match=r"could not read http://down.example/: it is down"):
        await visit({"url": ["http://a.example/x", "http://down.example/"], "goal": "end"})


NO_FETCH = PageReader(VisitConfig(mode="http")).fetch


def test_a_text_without_spaces_is_cut_as_well():
    assert select_passages("x" * 400_000, "x", 10) == "x" * 300 + "…"


OPENING = AgentConfig(visit=VisitConfig(mode="http", open_results=True))


async def test_results_are_shown_as_ever_and_recorded_as_they_were_read(web, small):
    async def fetch(url):
        if url.endswith("Lyon_(city)"):
            return FetchedPage(url, "Lyon", "Lyon, as the site shows it.")
        raise TransientFailure("the site is down")

    recorder = PageRecorder()
    search = make_tools(web, OPENING, "http://site", fetch, recorder)["search"]
    found = await search({"query": ["Lyon country"]})
    assert (found.text, found.urls) == (LYON, ("http://wiki.local/Lyon_(city)",))
    [seen] = found.pages
    read = next(page for page in recorder.drain() if page.page == seen.page)
    assert (read.url, read.title) == ("http://wiki.local/Lyon_(city)", "Lyon")
    assert read.text == "Lyon, as the site shows it."
    with pytest.raises(ToolFailure, match="the site is down"):
        await search({"query": ["France"]})
    assert (await search({"query": []})).error


@pytest.mark.parametrize(
    ("visit", "opens"),
    [
        ({"mode": "browser"}, True),
        ({"mode": "http"}, False),
        ({"mode": "browser", "open_results": False}, False),
        ({"mode": "http", "open_results": True}, True),
    ],
)
def test_a_browser_opens_results_unless_told_otherwise(web, visit, opens):
    config = AgentConfig(visit=VisitConfig.model_validate(visit))
    search = make_tools(web, config, "http://site", NO_FETCH)["search"]
    assert isinstance(search, OpenedSearch) is opens


async def test_what_is_fetched_is_remembered_by_its_address_and_a_definite_no_as_well(web):
    known, asked = {}, []

    async def remember(kind, request, make):
        key = kind, *sorted(request.items())
        if key not in known:
            known[key] = json.loads(json.dumps(await make()))
        return known[key]

    async def fetch(url):
        asked.append(url)
        if "missing" in url:
            raise PageRefused("we do not go there")
        return FetchedPage(url, "Title", "Text.")

    config = VisitConfig(mode="http", live=True)
    for site in ("http://127.0.0.1:1", "http://127.0.0.1:2"):
        opener = PageOpener(web, config, site, fetch, remember)
        assert (await opener.open("Lyon (city)")).title == "Title"
        assert (await opener.open("http://a.example/missing")).problem
    assert asked == ["http://127.0.0.1:1/wiki/Lyon_(city)", "http://a.example/missing"]
