"""A crawl to be killed: `python killed_crawl.py PORT FILE`, run by test_crawl_kills.py."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from crawl_record import FileRecord
from hostile_server import OpenWeb

from agents.config import VisitConfig
from training.construction.crawl.config import CrawlConfig
from training.construction.crawl.run import crawl

if __name__ == "__main__":
    port, file = sys.argv[1:]
    guard = OpenWeb([f"http://127.0.0.1:{port}"])
    visit = VisitConfig(mode="http", live=True, interval_s=0.05, max_per_host=2)
    config = CrawlConfig(roots=(f"http://127.0.0.1:{port}/",), max_depth=3)
    asyncio.run(crawl(config, visit, FileRecord(Path(file)), guard=guard))
