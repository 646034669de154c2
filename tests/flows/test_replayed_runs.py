"""A recorded run replays without a request, and a budget stops a run that goes on later."""

from __future__ import annotations

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from rehearsing import SIZES

from agents.errors import StoppedError, UsageError
from agents.web.local import open_web
from flows.evolve import run_evolution
from flows.profiles import load_profile
from tasks.artifacts import ArtifactStore
from tasks.catalog import Catalog
from tasks.runs import RunLog

pytestmark = pytest.mark.assets

SAMPLING = {"0 benchmark base", "0 cold_start ", "0 benchmark cold start"}


@pytest.fixture
def config_of(rehearsal, tmp_path):
    """Makes configurations of runs that end after the cold start, in a copy of a store."""
    shutil.copytree(rehearsal.config.store.uri, tmp_path / "store")

    def make(**changes):
        fixed = {**SIZES, "iterations": 0, "store.uri": str(tmp_path / "store")}
        return load_profile("smoke", {**fixed, **changes})

    return make


def records_of(config, run):
    store = ArtifactStore.open(config.store)
    return {f"{r.iteration} {r.stage} {r.subject}": r for r in RunLog(store.objects).stages(run)}


def digests(record, *left_out):
    return {ref.name: ref.digest for ref in record.artifacts if ref.name not in left_out}


def test_offline_gives_the_recorded_trajectories_without_a_request(config_of, rehearsal):
    recorded = config_of(**{"web.cache": "record"})
    run_evolution(recorded, "recorded")
    replayed = config_of(**{"web.cache": "offline"})
    run_evolution(replayed, "replayed")
    run_evolution(replayed, "replayed", no_reuse=True)
    before, after = records_of(recorded, "recorded"), records_of(replayed, "replayed")
    plain = records_of(recorded, rehearsal.name)
    assert set(before) == set(after) >= SAMPLING
    for stage, record in after.items():
        assert digests(record) == digests(before[stage])
        assert digests(record, "web_cache") == digests(plain[stage])
        if stage in SAMPLING:
            assert not record.reused
            assert "web_cache" in digests(record)
            assert record.metrics["failed"] == 0
            if record.metrics["web_requests"]:
                assert record.metrics["web_hit_rate"] == 1
    assert before["0 cold_start "].metrics["web_hit_rate"] < 1
    assert after["0 cold_start "].metrics["web_requests"] > 10
    kinds = Catalog(ArtifactStore.open(recorded.store)).query(
        "SELECT DISTINCT kind FROM web_cache ORDER BY kind"
    )
    assert [row["kind"] for row in kinds.to_pylist()] == ["page", "search.local"]


def test_offline_without_a_record_says_what_to_do(config_of):
    with pytest.raises(
        UsageError, match=r"no recorded web; make a run with --set web.cache=record"
    ):
        run_evolution(config_of(**{"web.cache": "offline"}), "nothing")


class Instance(BaseHTTPRequestHandler):
    """A SearXNG that searches the local web."""

    def do_GET(self):
        self.server.num_asked += 1
        hits = self.server.web.search(parse_qs(urlsplit(self.path).query)["q"][0], 1)
        results = [{"title": h.title, "url": h.url, "content": h.snippet} for h in hits]
        body = json.dumps({"results": results}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def instance(rehearsal):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Instance)
    server.daemon_threads = True
    server.web, server.num_asked = open_web(rehearsal.config.web), 0
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_spent_budget_stops_the_run_which_then_goes_on_without_paying_twice(config_of, instance):
    paid = {
        "web.cache": "record",
        "web.search.provider": "searxng",
        "web.search.endpoint": f"http://127.0.0.1:{instance.server_port}",
        "web.search.price": 0.5,
    }
    with pytest.raises(StoppedError, match=r"web.budget is 4, 4 is spent"):
        run_evolution(config_of(**paid, **{"web.budget": 4.0}), "paid")
    assert instance.num_asked == 8
    stopped = config_of(**paid)
    store = ArtifactStore.open(stopped.store)
    assert RunLog(store.objects).run("paid").status == "stopped"
    assert records_of(stopped, "paid")["0 cold_start "].status == "stopped"
    run_evolution(config_of(**paid, **{"web.budget": 400.0}), "paid")
    records = records_of(stopped, "paid")
    spent = sum(record.metrics.get("web_spend", 0.0) for record in records.values())
    assert spent == 0.5 * instance.num_asked
    paid_rows = Catalog(store).query("SELECT sum(cost) AS cost FROM web_cache").to_pylist()
    assert paid_rows == [{"cost": spent}]
    asked = instance.num_asked
    run_evolution(config_of(**{**paid, "web.cache": "offline"}), "again")
    assert instance.num_asked == asked
