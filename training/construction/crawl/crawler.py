"""The crawl: addresses from the frontier to the fetcher, pages to the record, links back again.

One event loop fetches several pages at once and handles what came one after the other. Each visit
is kept as soon as it has ended, so a crawl that was killed replays its record and goes on without
fetching anything of it a second time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace

from agents.config import VisitConfig
from agents.fetching.fetcher import Fetcher
from agents.fetching.http_source import Redirect
from agents.fetching.outcomes import (
    CircuitOpen,
    FetchedPage,
    PageProblem,
    PageRefused,
    TransientFailure,
)
from agents.progress import progress
from training.construction.crawl.addresses import canonical, host_of
from training.construction.crawl.config import CrawlConfig
from training.construction.crawl.duplicates import KnownTexts
from training.construction.crawl.frontier import Frontier, Queued
from training.construction.crawl.judging import (
    PageJudge,
    RedirectCircleError,
    failed_visit,
    reason_of,
)
from training.construction.crawl.local_web import LocalPages
from training.construction.crawl.report import CrawlReport
from training.construction.crawl.turns import Turns
from training.construction.crawl.visits import CrawlRecord, Reason, Visit


class Crawler:
    """One crawl under way.

    Args:
        config: How far it goes and what it keeps.
        visit: How pages are fetched.
        record: Where visits are kept.
        frontier: What is known of addresses.
        fetcher: Fetches pages with their outlines.
        site_url: Address of the local web's site; None: there is none.
    """

    def __init__(
        self,
        config: CrawlConfig,
        visit: VisitConfig,
        record: CrawlRecord,
        frontier: Frontier,
        fetcher: Fetcher,
        site_url: str | None,
    ) -> None:
        self._config = config
        self._visit_config = visit
        self._record = record
        self._frontier = frontier
        self._fetcher = fetcher
        self._local = LocalPages(site_url)
        self._turns = Turns(visit.max_per_host)
        self._known = KnownTexts(frontier.database, config.duplicate_similarity)
        self._judge = PageJudge(config, self._known, frontier, self._local)
        self._links: Counter[Reason] = Counter()
        self._num_kept = self._num_visits = self._num_bytes = 0

    async def run(self, roots: list[str]) -> CrawlReport:
        """Crawls from canonical addresses until a limit is reached or nothing is left."""
        start = time.monotonic()
        for root in roots:
            self._frontier.admit(root, 0)
        for visit in self._record.finished():
            # A page that could not be fetched then may be there now.
            if visit.reason == Reason.FAILED:
                continue
            if visit.reason == Reason.REDIRECT:
                self._frontier.admit(
                    visit.leads_to, visit.depth, visit.score, visit.num_redirects + 1
                )
            self._apply(visit)
        num_replayed = self._num_visits
        running: set[asyncio.Task[None]] = set()
        with progress("crawl", self._config.max_pages, "pages") as bar:
            bar.advance(self._num_kept)
            try:
                while True:
                    self._begin(running, start)
                    if not running:
                        wait_s = self._turns.wait_s()
                        if wait_s is None:
                            # A host's time may have come meanwhile.
                            self._begin(running, start)
                            if not running:
                                break
                        elif self._limit(0, start):
                            break
                        else:
                            await asyncio.sleep(wait_s)
                            continue
                    before = self._num_kept
                    done, running = await asyncio.wait(
                        running,
                        timeout=self._turns.wait_s(),
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    for task in done:
                        task.result()
                    bar.advance(self._num_kept - before)
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
        return CrawlReport(
            self._num_kept,
            self._num_visits,
            num_replayed,
            self._num_bytes,
            time.monotonic() - start,
            (self._limit(0, start) or "failing_hosts") if self._frontier.num_queued() else "",
            self._frontier.counts(),
            dict(self._links.most_common()),
        )

    def _begin(self, running: set[asyncio.Task[None]], start: float) -> None:
        """Begins as many visits as there are places, hosts whose turn it is, and pages allowed."""
        while len(running) < self._config.at_once and not self._limit(len(running), start):
            queued = self._frontier.take(self._turns.blocked())
            if queued is None:
                return
            self._turns.begin(host_of(queued.url))
            running.add(asyncio.create_task(self._visit(queued)))

    def _limit(self, num_running: int, start: float) -> str:
        """The limit that forbids one more visit beside those under way; empty where none does."""
        config = self._config
        if self._num_kept + num_running >= config.max_pages:
            return "max_pages"
        if self._num_visits + num_running >= config.max_visits:
            return "max_visits"
        if self._num_bytes >= config.max_total_bytes:
            return "max_total_bytes"
        if config.max_seconds is not None and time.monotonic() - start >= config.max_seconds:
            return "max_seconds"
        return ""

    async def _visit(self, queued: Queued) -> None:
        host = host_of(queued.url)
        answered = False
        try:
            found, url = await self._fetch(queued, host)
            answered = True
        except CircuitOpen:
            self._turns.rest(host, self._visit_config.host_rest_s)
            self._frontier.put_back(queued.url)
            return
        except (PageProblem, TransientFailure, RedirectCircleError) as error:
            answered = not isinstance(error, TransientFailure)
            self._keep(failed_visit(queued, reason_of(error), error))
            return
        finally:
            self._turns.end(host, answered)
        self._handle(queued, found, url)

    async def _fetch(self, queued: Queued, host: str) -> tuple[FetchedPage | Redirect, str]:
        """What is at an address, and the canonical address where that is or leads to."""
        address = self._local.to_fetch(queued.url)
        self._turns.keep_distance(host, await self._fetcher.pause_s(address))
        tried: set[str] = set()
        while address not in tried and len(tried) <= self._visit_config.max_redirects:
            tried.add(address)
            found = await self._fetcher.fetch_here(address)
            url = self._canonical(found.url)
            if not isinstance(found, Redirect) or url != queued.url:
                return found, url
            # The site prefers another spelling of the same address; then it gets that.
            address = found.url
        raise RedirectCircleError(f"it leads to itself by way of {address}")

    def _handle(self, queued: Queued, found: FetchedPage | Redirect, url: str) -> None:
        if url != queued.url:
            self._keep(self._moved(queued, url))
            # A browser has followed the redirect by itself, and has the page that it leads to.
            there = None if isinstance(found, Redirect) else self._frontier.take_this(url)
            if there is None:
                return
            queued = there
        if isinstance(found, FetchedPage):
            self._keep(self._judge.judge(queued, found))

    def _moved(self, queued: Queued, target: str) -> Visit:
        """What becomes of an address that redirects to another one."""
        num_redirects = queued.num_redirects + 1
        detail = f"it redirects to {target}"
        if self._frontier.meant_by(target) == queued.url:
            return failed_visit(queued, Reason.REDIRECT_LOOP, detail)
        if num_redirects > self._visit_config.max_redirects:
            most = self._visit_config.max_redirects
            return failed_visit(queued, Reason.REFUSED, f"it redirects more than {most} times")
        reason = self._frontier.admit(target, queued.depth, queued.score, num_redirects)
        if reason != Reason.QUEUED:
            return failed_visit(queued, reason, detail)
        moved = failed_visit(queued, Reason.REDIRECT, "")
        return replace(moved, leads_to=target)

    def _keep(self, visit: Visit) -> None:
        visit = self._apply(visit)
        self._record.keep(visit)

    def _apply(self, visit: Visit) -> Visit:
        """Lets a visit count, now or when it is replayed; returns it with its links' outcomes."""
        self._frontier.finish(visit)
        self._num_visits += 1
        self._num_bytes += visit.num_bytes
        if visit.reason == Reason.KEPT:
            self._num_kept += 1
            self._known.add(visit.url, visit.text_digest, visit.sketch)
        links = self._judge.follow(visit)
        self._links.update(link.reason for link in links)
        if visit.num_unread_links:
            self._links[Reason.TOO_MANY_LINKS] += visit.num_unread_links
        return replace(visit, links=links)

    def _canonical(self, url: str) -> str:
        try:
            return canonical(self._local.lasting(url))
        except ValueError as error:
            raise PageRefused(f"it redirects to {error}") from error
