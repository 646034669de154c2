"""A hostile site, and crawls that are let at it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from crawl_record import ListRecord
from hostile_server import OpenWeb
from hostile_site import HostileSite

from agents.config import VisitConfig
from training.construction.crawl.config import CrawlConfig
from training.construction.crawl.report import CrawlReport
from training.construction.crawl.run import crawl

FAST = {"mode": "http", "live": True, "interval_s": 0.0, "retry_wait_s": 0.0, "retries": 1}
SMALL = {"max_dates": 3, "max_queries_per_path": 7, "max_depth": 4}


@pytest.fixture(scope="module")
def site() -> Iterator[HostileSite]:
    with HostileSite() as server:
        yield server


@pytest.fixture(scope="module")
def crawl_site(site: HostileSite) -> Any:
    """Crawls the hostile site as a part of the open web."""
    guard = OpenWeb()
    guard.add(site)

    def run(
        record: Any = None, visit: dict[str, Any] | None = None, **changes: Any
    ) -> tuple[CrawlReport, Any]:
        record = record or ListRecord()
        config = CrawlConfig.model_validate({"roots": [f"{site.url}/"], **SMALL, **changes})
        visits = VisitConfig.model_validate({**FAST, **(visit or {})})
        return asyncio.run(crawl(config, visits, record, guard=guard)), record

    return run
