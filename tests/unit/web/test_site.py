"""The site serves what the web holds, over real HTTP, and nothing of it as markup."""

import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin

import httpx
import pytest

from agents.errors import UsageError
from agents.fetching.html_text import text_of_html
from agents.web.config import WebConfig
from agents.web.html import path_of
from agents.web.local import open_web
from agents.web.site import WebSite


@pytest.fixture(scope="module")
def site(web):
    with WebSite(web) as site:
        yield site


@pytest.fixture(scope="module")
def client(site):
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        yield client


def test_every_page_is_served_and_every_link_works(web, client):
    for page in web.pages.values():
        response = client.get(path_of(page.url))
        assert response.status_code == 200
        title, text = text_of_html(response.text)
        assert title == page.title
        assert text.split() == page.text.split()
        for link in page.links:
            assert f'href="{path_of(link.url)}"' in response.text.replace("&#39;", "'")
            assert client.get(path_of(link.url)).status_code == 200


def test_other_names_of_a_page_lead_to_its_address(web, client):
    for path in ("/wiki/Lyon_%28city%29", "/wiki/lyon (city)", "/wiki/zürich"):
        response = client.get(path)
        assert response.status_code == 302
        there = client.get(response.headers["location"])
        assert there.status_code == 200


def test_the_front_page_and_the_search_lead_on(client):
    assert 'action="/search"' in client.get("/").text
    html = client.get("/search", params={"q": "Lyon country"}).text
    assert 'href="/wiki/Lyon_(city)"' in html
    assert "Lyon is a city in France." in html
    nothing = client.get("/search", params={"q": "qqzzxx"})
    assert nothing.status_code == 200
    assert "No page matches" in nothing.text
    assert client.get("/search", params={"q": " "}).headers["location"] == "/"


def test_what_does_not_exist_is_404_with_suggestions(client):
    response = client.get("/wiki/Lyon_cathedral")
    assert response.status_code == 404
    assert 'href="/wiki/Lyon' in response.text
    assert "Perhaps one of these is meant" in response.text
    assert client.get("/etc/passwd").status_code == 404
    assert client.get("/wiki/").status_code == 404


def test_head_has_no_body_and_the_connection_stays_open(client):
    response = client.head("/wiki/Lyon_(city)")
    assert response.status_code == 200
    assert int(response.headers["content-length"]) > 0
    assert response.content == b""
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x>', "{{ 7*7 }}"])
def test_no_text_becomes_markup(tmp_path, monkeypatch, text):
    monkeypatch.setenv("EVOLVESEARCH_CACHE", str(tmp_path))
    row = {"title": f"Trap {text}", "text": f"A trap: {text}.", "url": "javascript:alert(1)"}
    (tmp_path / "corpus.jsonl").write_text(json.dumps(row))
    web = open_web(WebConfig(embedded=False, corpus=(str(tmp_path / "corpus.jsonl"),)))
    page = next(iter(web.pages.values()))
    with WebSite(web) as site, httpx.Client(base_url=site.url, trust_env=False) as client:
        for path in (path_of(page.url), "/search?q=trap", "/"):
            response = client.get(path)
            assert response.status_code == 200
            assert "<script" not in response.text
            assert "<img" not in response.text
            assert "javascript:" not in response.text
            assert "default-src 'none'" in response.headers["content-security-policy"]
        assert client.get("/search", params={"q": text}).text.count("<script") == 0
        assert text_of_html(client.get(path_of(page.url)).text) == (page.title, page.text)


def test_many_may_read_at_once(web, site):
    paths = [path_of(url) for url in web.pages] * 5

    def status(path):
        return httpx.get(urljoin(site.url, path), trust_env=False).status_code

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(status, paths)) == {200}


def test_a_taken_port_is_one_clear_line(web, site):
    port = int(site.url.rsplit(":", 1)[1])
    with pytest.raises(UsageError, match=f"port {port}"):
        WebSite(web, port=port)
    with pytest.raises(UsageError, match="cannot listen"):
        WebSite(web, host="203.0.113.1")


def test_the_port_is_free_again_afterwards(web):
    with WebSite(web) as site:
        port = int(site.url.rsplit(":", 1)[1])
    with WebSite(web, port=port) as again:
        assert httpx.get(again.url, trust_env=False).status_code == 200
