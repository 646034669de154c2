"""The web is built once, named after what it is made from, and opened cheaply."""

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from agents.errors import AssetError, UsageError
from agents.web.config import WebConfig
from agents.web.graph_file import read_graph
from agents.web.local import open_web


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("EVOLVESEARCH_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "corpus.jsonl"
    path.write_text(json.dumps({"title": "Alpha", "text": "Alpha is a letter."}))
    return path


def own(path, **settings):
    return WebConfig(embedded=False, corpus=(str(path),), **settings)


def test_a_web_of_ones_own_pages(corpus):
    web = open_web(own(corpus))
    assert list(web.pages) == ["http://wiki.local/Alpha"]
    assert web.search("letter", 1)[0].snippet == "Alpha is a letter."
    assert web.graph.facts == ()


def test_it_is_built_again_only_when_an_input_changes(corpus, tmp_path):
    first = open_web(own(corpus))
    built = tmp_path / "cache" / "web"
    made = {path: path.stat().st_mtime_ns for path in built.rglob("pages.sqlite")}
    # How it is searched is no matter of what it consists of.
    assert open_web(own(corpus, snippet_words=5)).digest == first.digest
    assert {path: path.stat().st_mtime_ns for path in built.rglob("pages.sqlite")} == made
    corpus.write_text(json.dumps({"title": "Alpha", "text": "Alpha comes first."}))
    second = open_web(own(corpus))
    assert second.digest != first.digest
    assert second.search("Alpha", 1)[0].snippet == "Alpha comes first."
    assert first.search("Alpha", 1)[0].snippet == "Alpha is a letter."


def test_a_bad_corpus_leaves_nothing_behind(corpus, tmp_path):
    corpus.write_text("{}")
    with pytest.raises(UsageError, match="line 1"):
        open_web(own(corpus))
    left = list((tmp_path / "cache" / "web").iterdir())
    assert [path for path in left if path.suffix != ".lock"] == []
    with pytest.raises(UsageError, match=r"absent\.jsonl"):
        open_web(own(tmp_path / "absent.jsonl"))


def test_a_web_needs_pages():
    with pytest.raises(ValidationError, match="corpus"):
        WebConfig(embedded=False)
    with pytest.raises(ValidationError):
        WebConfig(snippet_words=0)


def test_the_graph_comes_back_as_it_was(web, graph, tmp_path):
    assert web.graph.facts == graph.facts
    assert web.graph.entities == graph.entities
    (tmp_path / "graph.json").write_text("{}")
    with pytest.raises(AssetError, match="cannot be read"):
        read_graph(tmp_path / "graph.json")


def test_opening_needs_neither_torch_nor_the_graph(corpus):
    open_web(own(corpus))
    code = (
        "import sys; from agents.web.config import WebConfig;"
        "from agents.web.local import open_web;"
        f"web = open_web(WebConfig(embedded=False, corpus=({str(corpus)!r},)));"
        "web.search('Alpha', 1);"
        "assert 'graph' not in vars(web);"
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.assets
def test_the_embedded_web_answers_hops_over_its_own_facts():
    web = open_web(WebConfig())
    for query, title, snippet in [
        ("Lyon country", "Lyon (city)", "Lyon is a city in France."),
        ("France currency", "France (country)", "The currency of France is Euro."),
        ("capital of Japan", "Japan (country)", "The capital of Japan is Tokyo."),
    ]:
        best = web.search(query, 1)[0]
        assert (best.title, best.snippet) == (title, snippet)


@pytest.mark.assets
def test_every_embedded_link_leads_to_a_page_and_every_fact_has_one():
    web = open_web(WebConfig())
    urls = set(web.pages)
    assert 25_000 < len(urls) < 60_000
    assert all(link.url in urls for page in web.pages.values() for link in page.links)
    assert all(entity.url in urls for entity in web.graph.entities.values())
