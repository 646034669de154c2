"""Crawls the local web made of a corpus with hyperlinks, and compares the graph with the corpus.

Run as `python -m benchmarks.crawl --corpus wikispeedia.jsonl.xz [--json]`. The site is served by a
process of its own. In the same run, over the same site and as many requests at once: a plain loop
of httpx and lxml that follows links breadth first and keeps no text, and, where `--scrapy` names a
Python that has it, Scrapy as its documentation shows it (`CrawlSpider`, `LinkExtractor`). `ratio`
is that of the pages per second. Memory is the resident set of the crawling process, taken
every hundred visits. Links of the corpus that are no edge of the graph are counted by their reason.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import lzma
import multiprocessing
import os
import resource
import subprocess
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from agents.config import VisitConfig
from agents.web.config import WebConfig
from agents.web.html import path_of
from agents.web.local import open_web
from agents.web.site import WebSite
from training.construction.crawl.config import CrawlConfig
from training.construction.crawl.graph import PageGraph
from training.construction.crawl.run import crawl
from training.construction.crawl.visits import Visit, row_of, visit_of

_SAMPLE_EVERY = 100
_SPIDER = """
import json, sys, time
from scrapy.crawler import CrawlerProcess
from scrapy.linkextractors import LinkExtractor
from scrapy.spiders import CrawlSpider, Rule
root, at_once, most = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
pages, start = [0], [0.0]
class Spider(CrawlSpider):
    name = "plain"
    start_urls = [root]
    rules = [Rule(LinkExtractor(allow=r"/wiki/"), callback="page", follow=True)]
    def page(self, response):
        start[0] = start[0] or time.monotonic()
        pages[0] += 1
        yield {"url": response.url, "text": " ".join(response.css("main ::text").getall())}
process = CrawlerProcess({"CONCURRENT_REQUESTS": at_once, "LOG_LEVEL": "ERROR",
    "CONCURRENT_REQUESTS_PER_DOMAIN": at_once, "ROBOTSTXT_OBEY": False, "DOWNLOAD_DELAY": 0,
    "TELNETCONSOLE_ENABLED": False, "CLOSESPIDER_PAGECOUNT": most})
process.crawl(Spider)
process.start()
import resource
print(json.dumps({"pages": pages[0], "seconds": time.monotonic() - start[0],
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--root", default="United_States", help="id of the page to begin at")
    parser.add_argument("--pages", type=int, default=100_000, help="most pages of each crawl")
    parser.add_argument("--at-once", type=int, default=CrawlConfig().at_once)
    parser.add_argument("--all-roots", action="store_true", help="begin at unreachable pages, too")
    parser.add_argument(
        "--as-foreign",
        action="store_true",
        help="read pages as those of an unknown site, with trafilatura in processes of their own",
    )
    parser.add_argument("--no-plain", action="store_true", help="leave the plain loop out")
    parser.add_argument("--scrapy", default="", help="a Python that has Scrapy")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    truth = Corpus(options.corpus)
    roots = truth.roots(options.root, options.all_roots)
    rows: list[dict[str, Any]] = []
    with served(options.corpus) as site_url, tempfile.TemporaryDirectory() as folder:
        record = FileRecord(Path(folder) / "visits.jsonl")
        rows.append(alone(measure, options, roots, record, site_url))
        recovery = truth.compare(record) if not options.as_foreign else {}
        first = site_url + path_of(roots[0])
        if not options.no_plain:
            rows.append(alone(run_plain_loop, first, options.at_once, options.pages))
        if options.scrapy:
            rows.append(scrapy(options.scrapy, first, options.at_once, options.pages))
    ratios = {row["name"]: rows[0]["pages_per_s"] / row["pages_per_s"] for row in rows[1:]}
    if options.json:
        cores = len(os.sched_getaffinity(0))
        print(json.dumps({"rows": rows, "ratios": ratios, "links": recovery, "cores": cores}))
        return
    print(f"{'crawler':<12}{'pages':>8}{'pages/s':>10}{'CPU s':>8}{'peak MiB':>10}")
    for row in rows:
        cpu_s = f"{row['cpu_s']:.1f}" if "cpu_s" in row else ""
        print(
            f"{row['name']:<12}{row['pages']:>8,}{row['pages_per_s']:>10.1f}{cpu_s:>8}"
            f"{row['peak_mib']:>10.0f}"
        )
    print("memory, MiB:", " ".join(f"{mib:.0f}" for mib in rows[0]["memory_mib"]))
    print("addresses:", rows[0]["addresses"])
    for name, ratio in ratios.items():
        print(f"pages/s, of {name}: {ratio:.2f}")
    for name, num in recovery.items():
        print(f"{num:>9,}  {name}")


class FileRecord:
    """Keeps visits in a file, and samples the memory of the process that crawls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.num = 0
        self.memory_mib: list[float] = []

    def finished(self) -> Iterator[Visit]:
        if self._path.exists():
            with self._path.open(encoding="utf-8") as file:
                yield from (visit_of(json.loads(line)) for line in file)

    def keep(self, visit: Visit) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row_of(visit)) + "\n")
        self.num += 1
        if self.num % _SAMPLE_EVERY == 0:
            self.memory_mib.append(_resident_mib())


class Corpus:
    """The pages of the corpus under their addresses in the local web, and their links."""

    def __init__(self, path: Path) -> None:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            # Without their texts, which would count as memory of the crawl.
            rows = [(r["id"], r["url"], r["links"]) for r in map(json.loads, file)]
        by_source = {page.source: page.url for page in _web(path).pages.values()}
        self.urls = {row_id: by_source[source] for row_id, source, _ in rows}
        self.links = {self.urls[i]: [self.urls[other] for other in links] for i, _, links in rows}

    def roots(self, first: str, further: bool) -> list[str]:
        """The page to begin at, and, where asked for, all that are needed to reach the rest."""
        roots, seen = [self.urls[first]], set[str]()
        into = Counter(target for targets in self.links.values() for target in targets)
        candidates = sorted(self.links, key=lambda url: (into[url], url)) if further else []
        for url in (*roots, *candidates):
            if url not in seen:
                if url != roots[0]:
                    roots.append(url)
                waiting = deque([url])
                seen.add(url)
                while waiting:
                    for target in self.links[waiting.popleft()]:
                        if target not in seen:
                            seen.add(target)
                            waiting.append(target)
        return roots

    def compare(self, record: FileRecord) -> dict[str, int]:
        """What became of each link of the corpus."""
        graph = PageGraph.of(record.finished)
        statuses = {visit.url: visit.reason for visit in record.finished()}
        edges = {(edge.source, edge.target) for edge in graph.edges}
        counts: Counter[str] = Counter()
        for source, targets in self.links.items():
            for target in targets:
                if (source, target) in edges:
                    counts["recovered"] += 1
                elif source == target:
                    counts["lost: a page's link to itself"] += 1
                elif source not in graph.titles:
                    counts[f"lost: on a page that is {statuses.get(source, 'not reached')}"] += 1
                elif target not in graph.titles:
                    counts[f"lost: to a page that is {statuses.get(target, 'not reached')}"] += 1
                else:
                    counts["lost: not on the page as it was fetched"] += 1
        truth = {(source, target) for source, targets in self.links.items() for target in targets}
        counts["links of the corpus"] = sum(len(targets) for targets in self.links.values())
        counts["edges that the corpus does not have"] = len(edges - truth)
        return dict(counts.most_common())


def alone(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Runs in a process of its own, so that memory is that of the crawl alone."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()


def measure(
    options: argparse.Namespace, roots: list[str], record: FileRecord, site_url: str
) -> dict[str, Any]:
    visit = VisitConfig(
        mode="http", live=True, interval_s=0, robots=False, allow_origins=(site_url,)
    )
    own = None if options.as_foreign else site_url
    if options.as_foreign:
        roots = [site_url + path_of(root) for root in roots]
    config = CrawlConfig(
        roots=tuple(roots),
        max_pages=options.pages,
        max_visits=10 * options.pages,
        max_depth=100,
        at_once=options.at_once,
    )
    cpu = _cpu_s()
    report = asyncio.run(crawl(config, visit, record, own))
    return {
        "name": "crawl",
        "pages": report.num_visits,
        "kept": report.num_kept,
        "pages_per_s": report.num_visits / report.seconds,
        "cpu_s": _cpu_s() - cpu,
        "peak_mib": max(record.memory_mib, default=_resident_mib()),
        "memory_mib": record.memory_mib[:: max(1, len(record.memory_mib) // 12)],
        "addresses": report.addresses,
        "stopped_by": report.stopped_by,
    }


def run_plain_loop(root: str, at_once: int, most: int) -> dict[str, Any]:
    return asyncio.run(plain_loop(root, at_once, most))


async def plain_loop(root: str, at_once: int, most: int) -> dict[str, Any]:
    import httpx
    from lxml import html

    seen, waiting, num_edges = {root}, deque([root]), 0
    peak, num, running = _resident_mib(), 0, 0
    start, cpu = time.perf_counter(), _cpu_s()
    async with httpx.AsyncClient(trust_env=False) as client:

        async def work() -> None:
            nonlocal num_edges, peak, num, running
            while (waiting or running) and num + running < most:
                if not waiting:
                    await asyncio.sleep(0.005)
                    continue
                running += 1
                url = waiting.popleft()
                response = await client.get(url)
                running -= 1
                if response.status_code != 200:
                    continue
                num += 1
                for href in html.fromstring(response.text).xpath("//a/@href"):
                    target = urljoin(url, href)
                    if "/wiki/" in target and target.startswith(root.partition("/wiki/")[0]):
                        num_edges += 1
                        if target not in seen:
                            seen.add(target)
                            waiting.append(target)
                if num % _SAMPLE_EVERY == 0:
                    peak = max(peak, _resident_mib())

        await asyncio.gather(*(work() for _ in range(at_once)))
    return {
        "name": "httpx loop",
        "pages": num,
        "num_edges": num_edges,
        "pages_per_s": num / (time.perf_counter() - start),
        "cpu_s": _cpu_s() - cpu,
        "peak_mib": peak,
    }


def scrapy(python: str, root: str, at_once: int, most: int) -> dict[str, Any]:
    command = [python, "-c", _SPIDER, root, str(at_once), str(most)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        "name": "scrapy",
        "pages": found["pages"],
        "pages_per_s": found["pages"] / found["seconds"],
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_mib": found["peak_mib"],
    }


@contextmanager
def served(corpus: Path) -> Iterator[str]:
    """The corpus as a site, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(corpus, theirs))
    server.start()
    try:
        yield ours.recv()
    finally:
        ours.send("end")
        server.join()


def _serve(corpus: Path, pipe: Any) -> None:
    with WebSite(_web(corpus)) as site:
        pipe.send(site.url)
        pipe.recv()


def _web(corpus: Path) -> Any:
    return open_web(WebConfig(embedded=False, corpus=(str(corpus),)))


def _cpu_s() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def _resident_mib() -> float:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
