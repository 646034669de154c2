"""A crawl from its configuration: checks the roots, opens what is needed, crawls, closes it all."""

from __future__ import annotations

from contextlib import AsyncExitStack

from agents.config import VisitConfig
from agents.errors import UsageError
from agents.fetching.guard import Guard
from agents.fetching.reader import open_fetcher
from agents.web.facts.names import WIKI_ROOT
from training.construction.crawl.addresses import canonical
from training.construction.crawl.config import CrawlConfig
from training.construction.crawl.crawler import Crawler
from training.construction.crawl.frontier import Frontier
from training.construction.crawl.report import CrawlReport
from training.construction.crawl.scope import Scope
from training.construction.crawl.visits import CrawlRecord


async def crawl(
    config: CrawlConfig,
    visit: VisitConfig,
    record: CrawlRecord,
    site_url: str | None = None,
    guard: Guard | None = None,
) -> CrawlReport:
    """Crawls the sites of some roots, or goes on with a crawl that was begun.

    Args:
        config: Where it begins, how far it goes and what it keeps.
        visit: How pages are fetched: in mode `browser` by Chromium, in any other by plain requests;
            pages of the open web need `live`.
        record: Where visits are kept; what it holds already is not fetched again.
        site_url: Address of the local web's site, for roots of the local web.
        guard: Decides where connections may go; None: one that allows the site and
            `visit.allow_origins` beside the public internet.

    Raises:
        UsageError: There are no roots, or one of them may not be visited.
    """
    site = [] if site_url is None else [site_url]
    guard = guard or Guard([*site, *visit.allow_origins])
    roots = [_checked_root(root, visit, site_url) for root in config.roots]
    if not roots:
        raise UsageError("a crawl needs at least one root address to begin at")
    async with AsyncExitStack() as closing:
        frontier = Frontier(config, Scope(roots, config.scope))
        closing.callback(frontier.close)
        fetcher = open_fetcher(visit, guard, site_url, closing, outlines=True)
        return await Crawler(config, visit, record, frontier, fetcher, site_url).run(roots)


def _checked_root(root: str, visit: VisitConfig, site_url: str | None) -> str:
    try:
        url = canonical(root)
    except ValueError as error:
        raise UsageError(f"a crawl cannot begin at {root!r}: {error}") from error
    if url.startswith(WIKI_ROOT):
        if site_url is None:
            raise UsageError(f"{url} is a page of the local web, which is not served here")
    elif not visit.live:
        raise UsageError(f"{url} is not of the local web; allow others with agents.visit.live=true")
    return url
