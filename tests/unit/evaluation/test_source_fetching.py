"""Sets are fetched from where they are published, over real connections to a stand-in of it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from agents.errors import AssetError, UsageError
from evaluation.sources.fetch import fetch_rows, hub_set
from evaluation.sources.known import KNOWN, FileAt, HubSet
from evaluation.sources.load import read_questions
from evaluation.sources.rows import read_rows

COMMIT = "a" * 40
CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train.jsonl
  - split: test
    path: data/test.jsonl
---
"""
ROWS = [{"question": f"Who is {n}?", "answer": f"number {n}", "id": str(n)} for n in range(3)]
FILES = {
    "README.md": CARD,
    "data/test.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    "data/train.jsonl": json.dumps({"question": "Trained?", "answer": "yes", "id": "9"}) + "\n",
}


class _Hub(BaseHTTPRequestHandler):
    """As much of the Hub's interface as reading a set takes; `gated/…`, `none/…` are refused."""

    def do_GET(self):
        path = self.path.partition("?")[0]
        if "/gated/" in path:
            self._answer(403, {"X-Error-Code": "GatedRepo"})
        elif "/none/" in path:
            self._answer(404, {"X-Error-Code": "RepoNotFound"})
        elif "/tree/" in path:
            entries = [
                {"type": "file", "path": name, "size": len(text), "oid": "b" * 40}
                for name, text in FILES.items()
                if name.startswith("data/")
            ]
            self._answer(200, {"Content-Type": "application/json"}, json.dumps(entries))
        elif path.startswith("/api/datasets/"):
            about = {"id": "me/set", "sha": COMMIT, "siblings": [{"rfilename": n} for n in FILES]}
            about |= {"private": False, "disabled": False, "tags": [], "downloads": 0, "likes": 0}
            self._answer(200, {"Content-Type": "application/json"}, json.dumps(about))
        elif (name := path.partition("/resolve/")[2].partition("/")[2]) in FILES:
            self._answer(200, {"ETag": f'"{name[-9:]}"', "X-Repo-Commit": COMMIT}, FILES[name])
        else:
            self._answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})

    do_HEAD = do_GET

    def _answer(self, status, headers, body=""):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


READ = """
import sys
from agents.errors import EvolveSearchError
from evaluation.sources.load import read_questions
for source in sys.argv[1:]:
    try:
        read = read_questions(source).questions
        print(len(read), read[0].question_id, read[0].text)
    except EvolveSearchError as error:
        print(type(error).__name__, error)
"""


def test_the_hub_gives_a_set_refuses_a_gated_one_and_has_no_other(hub, tmp_path):
    # The libraries read the Hub's address when they are imported: a process of its own.
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path)}
    environment.pop("HF_TOKEN", None)
    sources = ["hub:me/set", "hub:me/set@train", "hub:gated/set", "hub:none/set", "gaia"]
    result = subprocess.run(
        [sys.executable, "-c", READ, *sources],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    test, train, gated, none, gaia = result.stdout.splitlines()
    assert test == "3 set-0 Who is 0?"
    assert train == "1 set-9 Trained?"
    for line, home in ((gated, "gated/set"), (gaia, "gaia-benchmark/GAIA")):
        assert line.startswith("UsageError hub:")
        assert "must be requested from its owner" in line
        assert f"https://huggingface.co/datasets/{home}" in line
        assert "--benchmarks-file FILE" in line
    assert none == "UsageError there is no set hub:none/set on the Hub, or it is private"


def test_a_file_at_an_address_is_fetched_once(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("EVOLVESEARCH_CACHE", str(tmp_path))
    where = FileAt(f"{hub}/datasets/me/set/resolve/main/data/test.jsonl", ".jsonl")
    rows = fetch_rows(where)
    assert [row.values["answer"] for row in rows] == ["number 0", "number 1", "number 2"]
    monkeypatch.setattr("httpx.stream", None)
    assert fetch_rows(where) == rows


def test_a_file_that_is_not_there_is_told_in_one_line(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("EVOLVESEARCH_CACHE", str(tmp_path))
    for url in (f"{hub}/nothing.csv", "http://127.0.0.1:9/nothing.csv"):
        with pytest.raises(AssetError, match=r"could not fetch .*--benchmarks-file") as caught:
            fetch_rows(FileAt(url, ".csv"))
        assert "\n" not in str(caught.value)


def test_a_protocols_sample_is_the_same_whatever_the_order(tmp_path, monkeypatch):
    known = replace(KNOWN["nq"], sample=2)
    monkeypatch.setitem(KNOWN, "nq", known)
    chosen = []
    for rows in (ROWS, ROWS[::-1]):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "nq.jsonl").write_text(text)
        monkeypatch.setattr(
            "evaluation.sources.load.fetch_rows",
            lambda where, known: read_rows(tmp_path / "nq.jsonl"),
        )
        chosen.append({question.question_id for question in read_questions("nq").questions})
    assert len(chosen[0]) == 2
    assert chosen[0] == chosen[1]


def test_names_of_sets_on_the_hub():
    assert hub_set("me/set") == HubSet("me/set")
    assert hub_set("me/set/config@dev") == HubSet("me/set", "config", "dev")
    assert str(hub_set("me/set/config@dev")) == "hub:me/set/config@dev"
    for wrong in ("set", "me/set@", "../set", "me/../set", "me/set/config/more"):
        with pytest.raises(UsageError, match="hub:OWNER/NAME"):
            hub_set(wrong)


def test_the_table_of_known_sets_is_complete_and_documented():
    page = (Path(__file__).parents[3] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for name, known in KNOWN.items():
        assert f"`{name}`" in page
        assert known.home in page
        assert known.licence.partition(";")[0].partition(" (")[0] in page
        assert f"{known.num_questions:,}" in page
        assert name == known.name
        assert known.owner
        assert known.licence
        assert known.home.startswith("https://")
        assert known.num_questions >= 125
    assert [name for name, known in KNOWN.items() if known.gated] == ["gaia"]


@pytest.mark.assets
def test_fanoutqa_comes_from_its_owners_package():
    read = read_questions("fanoutqa")
    assert len(read.questions) == KNOWN["fanoutqa"].num_questions == 310
    assert {question.split for question in read.questions} == {"fanoutqa"}
