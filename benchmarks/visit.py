"""Times visits to the local web's site, with Chromium and without, and watches their memory.

Run as `python benchmarks/visit.py [--visits N] [--json]`. Every mode reads the same pages of the
embedded web through the same tool, so many at a time as a browser has tabs. Beside it, in the same
run, a plain loop: Playwright as its documentation shows it, a new context for each page and no
guard, proxy or limits; `ratio` is that of the pages per second. Memory is the proportional set
size of this process and of all below it (Chromium's, the driver's), taken each hundred visits;
`growth` compares the last fifth of the visits with the second one, after all have warmed up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from typing import Any

from agents.config import AgentConfig, VisitConfig
from agents.fetching.chromium import find_chromium
from agents.snapshots import PageRecorder
from agents.toolset import open_tools
from agents.web.config import WebConfig
from agents.web.html import path_of
from agents.web.local import LocalWeb, open_web
from agents.web.site import WebSite

_SAMPLE_EVERY = 25
_PLAIN_VISITS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visits", type=int, default=1_000)
    parser.add_argument("--modes", nargs="+", default=["direct", "http", "browser"])
    parser.add_argument("--tabs", type=int, default=VisitConfig().browser_tabs)
    parser.add_argument("--no-plain", action="store_true", help="leave the plain loop out")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    web = open_web(WebConfig())
    urls = list(islice(_spread(sorted(web.pages)), options.visits))
    rows = [measure(web, mode, urls, options.tabs) for mode in options.modes]
    if not options.no_plain:
        rows.append(asyncio.run(plain_loop(web, urls[:_PLAIN_VISITS])))
    by_name = {row["name"]: row for row in rows}
    ratio = None
    if {"browser", "plain loop"} <= set(by_name):
        ratio = by_name["browser"]["pages_per_s"] / by_name["plain loop"]["pages_per_s"]
    if options.json:
        print(json.dumps({"rows": rows, "ratio": ratio, "cores": len(os.sched_getaffinity(0))}))
        return
    print(f"{'mode':<12}{'visits':>8}{'pages/s':>10}{'median ms':>11}{'peak MiB':>10}{'growth':>9}")
    for row in rows:
        print(
            f"{row['name']:<12}{row['visits']:>8,}{row['pages_per_s']:>10.1f}"
            f"{row['median_ms']:>11.1f}{max(row['memory_mib']):>10.0f}{row['growth']:>9.1%}"
        )
    if ratio is not None:
        print(f"browser, of the plain loop: {ratio:.1f}")


def measure(web: LocalWeb, mode: str, urls: list[str], at_once: int) -> dict[str, Any]:
    visit_config = VisitConfig.model_validate({"mode": mode, "browser_tabs": at_once})
    config, recorder = AgentConfig(visit=visit_config), PageRecorder()
    with open_tools(web, config, recorder) as tools:

        async def visit(url: str) -> None:
            read = await tools["visit"]({"url": url, "goal": "population"})
            assert not read.error, read.error
            assert read.urls == (url,)
            # As a stage does, which writes what was read to the store.
            recorder.drain()

        async def run() -> dict[str, Any]:
            await visit(urls[0])
            return await _timed(mode, urls, at_once, visit)

        return asyncio.run(run())


async def plain_loop(web: LocalWeb, urls: list[str]) -> dict[str, Any]:
    from playwright.async_api import async_playwright

    with WebSite(web) as site:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=find_chromium(),
                args=["--no-sandbox"] if os.geteuid() == 0 else [],
            )

            async def visit(url: str) -> None:
                context = await browser.new_context()
                page = await context.new_page()
                await page.goto(site.url + path_of(url))
                assert await page.inner_text("main")
                await context.close()

            row = await _timed("plain loop", urls, 1, visit)
            await browser.close()
            return row


async def _timed(
    name: str, urls: list[str], at_once: int, visit: Callable[[str], Awaitable[None]]
) -> dict[str, Any]:
    waiting, seconds, memory = iter(urls), [], [_memory_mib()]
    measuring_s = 0.0

    async def work() -> None:
        nonlocal measuring_s
        for url in waiting:
            start = time.perf_counter()
            await visit(url)
            seconds.append(time.perf_counter() - start)
            if len(seconds) % _SAMPLE_EVERY == 0:
                start = time.perf_counter()
                memory.append(_memory_mib())
                measuring_s += time.perf_counter() - start

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(at_once)))
    wall_s = time.perf_counter() - start - measuring_s
    half = len(memory) // 2
    early, late = memory[len(memory) // 10 + 1 : half], memory[half:]
    return {
        "name": name,
        "visits": len(urls),
        "at_once": at_once,
        "pages_per_s": len(urls) / wall_s,
        "median_ms": 1000 * statistics.median(seconds),
        "memory_mib": [round(value, 1) for value in memory],
        "growth": statistics.mean(late) / statistics.mean(early or memory) - 1,
    }


def _spread(urls: list[str]) -> Iterator[str]:
    """Pages from all over the web, each once, then from the beginning."""
    step = 9973
    position = 0
    while True:
        yield urls[position % len(urls)]
        position += step


def _memory_mib() -> float:
    """Proportional set size of this process and of all that it started, theirs included."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parents[int(entry)] = int(stat.read().rpartition(")")[2].split()[1])
            except OSError:
                continue  # It has ended.
    ours = {os.getpid()}
    while grown := {p for p, parent in parents.items() if parent in ours} - ours:
        ours |= grown
    total_kib = 0
    for process in ours:
        try:
            with open(f"/proc/{process}/smaps_rollup") as rollup:
                total_kib += next(int(x.split()[1]) for x in rollup if x.startswith("Pss:"))
        except (OSError, StopIteration):
            continue
    return total_kib / 1024


if __name__ == "__main__":
    main()
