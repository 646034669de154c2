"""A crawl that is killed from outside goes on with what it kept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crawl_record import FileRecord

from training.construction.crawl.visits import Reason

pytestmark = [pytest.mark.hostile, pytest.mark.faults]
SCRIPT = Path(__file__).with_name("killed_crawl.py")
ROOT = Path(__file__).resolve().parents[3]


def test_a_killed_crawl_goes_on_after_what_it_kept(crawl_site, site, tmp_path):
    record = FileRecord(tmp_path / "visits.jsonl")
    child = subprocess.Popen(
        [sys.executable, SCRIPT, str(site.port), str(tmp_path / "visits.jsonl")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
    )
    try:
        ends = time.monotonic() + 120
        while len(list(record.finished())) < 12:
            assert child.poll() is None, "the crawl ended before it could be killed"
            assert time.monotonic() < ends
            time.sleep(0.02)
    finally:
        child.kill()
        child.wait()
    # The last line may be cut off; what is there counts.
    kept = {v.url.removeprefix(site.url) for v in record.finished() if v.reason != Reason.FAILED}
    site.hits.clear()
    report, _ = crawl_site(record, max_depth=3)
    assert report.num_replayed == len(kept)
    plain = {path for path in kept if "?" not in path and path != "/spelling"}
    assert plain
    assert [path for path in sorted(plain) if site.hits[path]] == []
    assert report.stopped_by == ""
    visits = list(record.finished())
    settled = [visit.url for visit in visits if visit.reason != Reason.FAILED]
    assert len(settled) == len(set(settled))
    assert sum(visit.reason == Reason.KEPT for visit in visits) == report.num_kept
