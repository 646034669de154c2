"""Heavy work: results, progress and errors come back; nothing outlives a cancel or the parent."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from heavy_entries import is_alive, wait_until_dead

from agents.errors import EngineError, StageError
from agents.progress import set_progress
from tasks.heavy import run as heavy
from tasks.heavy.launcher import SERVER
from tasks.heavy.outcome import HeavyKilledError, HeavyMemoryError, error_of_exit
from tasks.heavy.run import run_heavy, stop_heavy

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    yield
    stop_heavy()


class Bars:
    """A sink that notes what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def start(self, description: str, total: float | None, unit: str) -> int:
        self.seen.append(("start", description, total, unit))
        return 7

    def update(
        self, bar: int, completed: float, total: float | None = None, detail: str = ""
    ) -> None:
        self.seen.append(("update", bar, completed))

    def finish(self, bar: int) -> None:
        self.seen.append(("finish", bar))


def test_result_progress_and_events_come_back(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEAVY_TEST", "set after the server may have started")
    monkeypatch.chdir(scratch)
    bars, events = Bars(), []
    before = set_progress(bars)
    try:
        payload = {"a": [1, None, "ü"]}
        result = run_heavy(
            "heavy_entries:echo", payload, description="echo", on_event=events.append
        )
    finally:
        set_progress(before)
    assert result["payload"] == payload
    assert result["group"] == result["pid"] != os.getpid()
    assert result["torch"]
    assert result["cwd"] == str(scratch)
    assert result["variable"] == "set after the server may have started"
    assert events == [{"event": "step", "step": 1}]
    assert bars.seen[0] == ("start", "counting", 3, "numbers")
    assert bars.seen[-2:] == [("update", 7, 3), ("finish", 7)]
    assert list(scratch.iterdir()) == [], "nothing is left behind by a success"


def test_warnings_of_this_project_reach_the_parents_loggers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_heavy("heavy_entries:warn", {}, description="work")
    warned = ("tasks.checkpoints", logging.WARNING, "checkpoint c1 is not used")
    assert caplog.record_tuples == [warned]


def test_output_goes_to_the_log(scratch: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_heavy("heavy_entries:echo", {}, description="echo", log=scratch / "own.log")
    assert "seen in the log only" in (scratch / "own.log").read_text()
    assert capfd.readouterr() == ("", "")


def test_no_file_by_name_holds_the_environment(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process that is killed leaves its files behind, and the environment holds keys.
    monkeypatch.setenv("HEAVY_TEST", "a-key-of-the-environment")
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    result = run_heavy(
        "heavy_entries:files_that_hold", {"folder": str(scratch)}, description="looking"
    )
    assert result["found"] == []


@pytest.mark.parametrize("own", [None, "glibc.malloc.check=0"])
def test_malloc_keeps_freed_memory_unless_the_user_tuned_it(
    monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    # Children that the heavy work starts itself must get the user's settings, not the server's.
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if own is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", own)
    stop_heavy()
    result = run_heavy("heavy_entries:allocator", {}, description="looking")
    stop_heavy()
    assert result["passed_on"] == own
    assert ("glibc.malloc.trim_threshold" in result["started_with"]) == (own is None)
    assert own is None or own in result["started_with"]


def test_our_errors_keep_their_type() -> None:
    with pytest.raises(EngineError, match=r"^model x has no weights$"):
        run_heavy("heavy_entries:typed", {}, description="loading")


def test_other_errors_are_one_line_with_a_log(scratch: Path) -> None:
    with pytest.raises(StageError, match=r"^loading failed: ValueError: first line; log: ") as e:
        run_heavy("heavy_entries:untyped", {}, description="loading")
    assert "Traceback" in Path(str(e.value).split("log: ")[1]).read_text()


def test_an_unknown_entry_is_an_error() -> None:
    with pytest.raises(StageError, match="AttributeError"):
        run_heavy("heavy_entries:nothing", {}, description="loading")


def test_lack_of_memory_has_a_type() -> None:
    with pytest.raises(HeavyMemoryError, match="ran out of memory"):
        run_heavy("heavy_entries:out_of_memory", {}, description="training")
    killed = error_of_exit(-signal.SIGKILL, 1, "training", Path("log"), "set a=1 (now 2)")
    assert isinstance(killed, HeavyMemoryError)
    assert "set a=1 (now 2)" in str(killed)
    assert isinstance(error_of_exit(-signal.SIGKILL, 0, "x", Path("log")), HeavyKilledError)


def test_lack_of_memory_names_the_setting_to_change() -> None:
    with pytest.raises(HeavyMemoryError, match=r"out of memory.*; set a=1 \(now 2\); log"):
        run_heavy(
            "heavy_entries:out_of_memory",
            {},
            description="training",
            memory_advice="set a=1 (now 2)",
        )


def test_a_crash_has_a_type() -> None:
    with pytest.raises(HeavyKilledError, match="was killed by SIGSEGV"):
        run_heavy("heavy_entries:crash", {}, description="training")
    with pytest.raises(StageError, match="ended with exit code 5 and no result"):
        run_heavy("heavy_entries:leave", {}, description="training")


def test_a_cancel_kills_the_whole_group(scratch: Path) -> None:
    pids: list[int] = []

    def cancel(event: Mapping[str, Any]) -> None:
        pids.extend(event["pids"])
        assert all(map(is_alive, pids))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_heavy("heavy_entries:linger", {}, description="training", on_event=cancel)
    assert not is_alive(pids[0]), "the child is gone before the cancel comes through"
    assert wait_until_dead(pids) == []
    assert list(scratch.iterdir()) == []


def test_a_child_that_falls_silent_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavy, "SILENCE_S", 1.0)
    with pytest.raises(HeavyKilledError, match="no sign of life"):
        run_heavy("heavy_entries:hang", {}, description="training")


def test_children_run_side_by_side() -> None:
    results: list[dict[str, Any]] = []

    def work(i: int) -> None:
        results.append(run_heavy("heavy_entries:echo", {"i": i}, description="echo"))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(r["payload"]["i"] for r in results) == list(range(6))
    assert len({r["pid"] for r in results}) == 6


@pytest.mark.faults
def test_a_dead_server_is_an_error_and_then_replaced() -> None:
    pids: list[int] = []

    def kill_server(event: Mapping[str, Any]) -> None:
        pids.extend(event["pids"])
        assert SERVER.process is not None
        os.kill(SERVER.process.pid, signal.SIGKILL)

    with pytest.raises(StageError, match="process that starts children has died"):
        run_heavy("heavy_entries:linger", {}, description="training", on_event=kill_server)
    assert wait_until_dead(pids) == []
    assert run_heavy("heavy_entries:echo", {"x": 1}, description="echo")["payload"] == {"x": 1}


@pytest.mark.faults
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_parent(scratch: Path, how: signal.Signals) -> None:
    file = scratch / "pids"
    parent = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("heavy_entries.py")), str(file)],
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    while not file.exists() and time.monotonic() < until and parent.poll() is None:
        time.sleep(0.1)
    pids = [int(pid) for pid in file.read_text().split()]
    assert all(map(is_alive, pids))
    parent.send_signal(how)
    assert parent.wait(timeout=30) != 0
    assert wait_until_dead(pids) == []


@pytest.mark.faults
def test_a_server_that_is_still_importing_ends_with_its_parent_too() -> None:
    code = (
        "import time\n"
        "from tasks.heavy.launcher import SERVER\n"
        "print(SERVER.ensure(), flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    server = int(parent.stdout.readline())
    # Up to where it watches, in the midst of imports that take seconds.
    until = time.monotonic() + 60
    while b"torch" not in Path(f"/proc/{server}/maps").read_bytes():
        assert time.monotonic() < until
        time.sleep(0.01)
    parent.kill()
    parent.communicate()
    killed = time.monotonic()
    assert wait_until_dead([server]) == []
    assert time.monotonic() - killed < 2.0
