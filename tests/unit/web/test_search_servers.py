"""SearXNG and Search-R1's retriever over real sockets, through the search tool."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from agents.config import AgentConfig
from agents.tools.base import ToolFailure
from agents.tools.search import SearchTool
from agents.web.cache import WebCache
from agents.web.search.config import SearchConfig
from agents.web.search.http_search import HttpSearch

PASSAGES = [
    ("Lyon", "Lyon is a city in France."),
    ("Euro", "The euro is the currency of France."),
    ("Nairobi", "Nairobi is the capital of Kenya."),
]


def matching(query: str) -> list[tuple[int, str, str]]:
    words = set(query.lower().split())
    return [
        (number, title, text)
        for number, (title, text) in enumerate(PASSAGES)
        if words & set(f"{title} {text}".lower().strip(".").split())
    ]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        """SearXNG."""
        self.server.asked.append(self.path)
        params = parse_qs(urlsplit(self.path).query)
        if params.get("format") != ["json"]:
            self.send(403, {})
            return
        found = matching(params["q"][0])
        results = [
            {"title": title, "url": f"https://example.org/{title}", "content": text}
            for _, title, text in found
        ]
        self.send(200, {"query": params["q"][0], "results": results})

    def do_POST(self):
        """The retriever."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        if body["queries"] == ["slow"]:
            time.sleep(0.5)
        self.send(
            200,
            {
                "result": [
                    [
                        {
                            "document": {"id": str(number), "contents": f'"{title}"\n{text}'},
                            "score": 1.0,
                        }
                        for number, title, text in matching(query)[: body["topk"]]
                    ]
                    for query in body["queries"]
                ]
            },
        )

    def send(self, status, document):
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def backend(server, provider, **config):
    endpoint = f"http://127.0.0.1:{server.server_port}"
    return HttpSearch(SearchConfig(provider=provider, endpoint=endpoint, **config), 30)


async def test_searxng_answers_the_search_tool(web, server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    search = backend(server, "searxng")
    tool = SearchTool(web, AgentConfig(), backend=search)
    found = await tool({"query": ["Lyon city", "currency France"]})
    assert found.text == (
        "[1] Lyon https://example.org/Lyon\nLyon is a city in France.\n"
        "[2] Euro https://example.org/Euro\nThe euro is the currency of France."
    )
    assert found.urls == ("https://example.org/Lyon", "https://example.org/Euro")
    assert len(server.asked) == 2
    await search.aclose()


async def test_the_snapshot_of_a_foreign_page_is_its_snippet_and_no_local_page(web, server):
    from agents.snapshots import PageRecorder

    recorder = PageRecorder()
    search = backend(server, "searxng")
    await SearchTool(web, AgentConfig(), recorder, search)({"query": ["Lyon city"]})
    assert [page.text for page in recorder.drain()] == ["Lyon is a city in France."]
    await search.aclose()


async def test_a_retriever_answers_the_search_tool_and_equal_queries_once(web, server):
    search, cache = backend(server, "retriever"), WebCache()
    tool = SearchTool(web, AgentConfig(search_results=1), None, search, cache)
    answers = await asyncio.gather(*(tool({"query": ["capital"]}) for _ in range(20)))
    assert {answer.text for answer in answers} == {
        "[1] Nairobi doc:2\nNairobi is the capital of Kenya."
    }
    assert server.asked == [{"queries": ["capital"], "topk": 10, "return_scores": True}]
    await search.aclose()


async def test_a_slow_retriever_fails_in_time(web, server, monkeypatch):
    from agents.web.search import http_search

    monkeypatch.setattr(http_search, "NUM_ATTEMPTS", 1)
    search = backend(server, "retriever", timeout_s=0.1)
    with pytest.raises(ToolFailure, match=r"failed after 1 attempt: no answer within 0.1 s"):
        await SearchTool(web, AgentConfig(), backend=search)({"query": ["slow"]})
    await search.aclose()


def test_a_backend_serves_one_event_loop_after_another(server):
    search = backend(server, "retriever")
    for _ in range(2):
        assert len(asyncio.run(search.search("capital", 3))) == 1
    assert len(server.asked) == 2


async def test_no_server_is_a_failure(web, monkeypatch):
    from agents.web.search import http_search

    monkeypatch.setattr(http_search, "backoff_s", lambda *_: 0.0)
    config = SearchConfig(provider="retriever", endpoint="http://127.0.0.1:1")
    with pytest.raises(ToolFailure, match="retriever failed after 4 attempts"):
        await SearchTool(web, AgentConfig(), backend=HttpSearch(config, 30))({"query": ["x"]})
