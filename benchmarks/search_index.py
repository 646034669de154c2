"""Compares search libraries on the embedded web: cost to build, open and ask, and quality.

Run as `python benchmarks/search_index.py [--queries N]`; needs the inputs (`evolvesearch assets`)
and, for its rows, bm25s (extra `dev`). Three engines answer the same queries over the same pages
and the same search terms:

- `bm25s`: BM25 over title (three times) and text.
- `tantivy`: BM25 over title and text, the title weighing three times as much.
- `product`: what `agents/web/index.py` does, candidates from tantivy ranked by names and
  sentences.

Queries are made from a fixed sample of the graph's facts: `Lyon country`, and the same facts as
questions, `What is the country of Lyon?`. A query is right when the page that states the fact is
among the first results; its snippet is right when it holds the fact's value.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from agents.web.analysis import base_title, terms
from agents.web.config import WebConfig
from agents.web.index import build_index
from agents.web.local import LocalWeb, open_web
from agents.web.pages import Page

_TITLE_WEIGHT = 3
_SEED = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=600, help="facts that are asked for")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        print(json.dumps(measure_search(options.engine, options.folder, options.queries)))
        return
    engines = ["tantivy", "product"]
    if importlib.util.find_spec("bm25s") is None:
        print("bm25s is not installed: its row is left out", file=sys.stderr)
    else:
        engines.insert(0, "bm25s")
    web = open_web(WebConfig())
    print(f"{len(web.pages):,} pages, {options.queries} facts")
    columns = ("build_s", "megabytes", "open_s", "rss_mb", "ms", "page@1", "page@3", "snippet@1")
    print(f"{'engine':<10}" + "".join(f"{column:>11}" for column in columns))
    for engine in engines:
        with tempfile.TemporaryDirectory() as name:
            row = build(engine, Path(name), list(web.pages.values()))
            row |= in_child(engine, Path(name), options.queries)
        cells = (f"{row[c]:>11.2f}" if c in row else f"{'':>11}" for c in columns)
        print(f"{engine:<10}" + "".join(cells), flush=True)


def in_child(engine: str, folder: Path, queries: int) -> dict[str, float]:
    # A process of its own: what was loaded for another engine must not count.
    command = [sys.executable, __file__, "--engine", engine, "--folder", str(folder)]
    command += ["--queries", str(queries)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(result.stdout))


def build(engine: str, folder: Path, pages: Iterable[Page]) -> dict[str, float]:
    start = time.perf_counter()
    if engine == "bm25s":
        import bm25s

        index = bm25s.BM25()
        index.index([title(p) * _TITLE_WEIGHT + text(p) for p in pages], show_progress=False)
        index.save(folder)
    else:
        build_index(folder, pages)
    seconds = time.perf_counter() - start
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"build_s": seconds, "megabytes": size / 1e6}


def title(page: Page) -> list[str]:
    return [term for name in (page.title, *page.names) for term in terms(name)]


def text(page: Page) -> list[str]:
    return terms(page.text) + [term for hint in page.hints for term in terms(hint)]


def measure_search(engine: str, folder: Path, queries: int) -> dict[str, float]:
    web = open_web(WebConfig())
    before, start = rss_mb(), time.perf_counter()
    search = open_engine(engine, folder, web)
    opened, rss = time.perf_counter() - start, rss_mb() - before
    asked = make_queries(web, queries)
    found: list[tuple[float, float, float]] = []
    start = time.perf_counter()
    answers = [search(query, 3) for query, _, _ in asked]
    milliseconds = (time.perf_counter() - start) / len(asked) * 1e3
    for (_, url, value), hits in zip(asked, answers, strict=True):
        urls = [hit_url for hit_url, _ in hits]
        snippet = hits[0][1] if hits else ""
        found.append((url in urls[:1], url in urls, value in snippet))
    first, third, snippets = (sum(column) / len(found) for column in zip(*found, strict=True))
    row = {"open_s": opened, "rss_mb": rss, "ms": milliseconds, "page@1": first, "page@3": third}
    return row | ({"snippet@1": snippets} if engine == "product" else {})


def open_engine(
    engine: str, folder: Path, web: LocalWeb
) -> Callable[[str, int], list[tuple[str, str]]]:
    urls = list(web.pages)
    if engine == "product":
        return lambda query, k: [(hit.url, hit.snippet) for hit in web.search(query, k)]
    if engine == "bm25s":
        import bm25s

        index = bm25s.BM25.load(folder, mmap=True)

        def by_bm25s(query: str, k: int) -> list[tuple[str, str]]:
            numbers, _ = index.retrieve([terms(query)], k=k, show_progress=False)
            return [(urls[number], "") for number in numbers[0]]

        return by_bm25s
    import tantivy

    opened = tantivy.Index.open(str(folder))
    searcher = opened.searcher()

    def by_tantivy(query: str, k: int) -> list[tuple[str, str]]:
        clauses = []
        for term in terms(query):
            for field, boost in (("title", float(_TITLE_WEIGHT)), ("text", 1.0)):
                match = tantivy.Query.term_query(opened.schema, field, term, "freq")
                boosted = tantivy.Query.boost_query(match, boost)
                clauses.append((tantivy.Occur.Should, boosted))
        hits = searcher.search(tantivy.Query.boolean_query(clauses), k, count=False).hits
        numbers = searcher.fast_field_values("number", [place for _, place in hits])
        return [(urls[number], "") for number in numbers]

    return by_tantivy


def make_queries(web: LocalWeb, count: int) -> list[tuple[str, str, str]]:
    """A sample with every relation alike: (query, url of the right page, value)."""
    by_relation: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    graph = web.graph
    for fact in graph.facts:
        entity = graph.entities[fact.subject]
        name, words = base_title(entity.title), fact.relation.replace("_", " ")
        if len(graph.of(fact.subject, fact.relation)) == 1:
            rows = by_relation.setdefault((entity.kind, fact.relation), [])
            rows.append((f"{name} {words}", entity.url, fact.value))
            rows.append((f"What is the {words} of {name}?", entity.url, fact.value))
    rng = random.Random(_SEED)
    share = max(1, count // len(by_relation))
    return [row for rows in by_relation.values() for row in rng.sample(rows, min(share, len(rows)))]


def rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


if __name__ == "__main__":
    main()
