"""The process around a vLLM server of ours: start, death, restart, and no trace of it left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from process_groups import gone, group

from agents.engines.base import SamplingParams
from agents.engines.config import EngineConfig
from agents.engines.factory import make_engine
from agents.engines.vllm_server import VllmServer, find_python
from agents.errors import EngineError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
SAMPLING = SamplingParams(1.0, 1.0, 3, 0, ())
FAKE = Path(__file__).with_name("fake_vllm.py")


@pytest.fixture
def config(tmp_path):
    """Its Python is a program that runs the small server in the place of vLLM's module."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nshift 2\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    python.chmod(0o755)

    def make(**settings):
        settings = {"python": str(python), "start_timeout_s": 60, **settings}
        return EngineConfig(kind="vllm", batch_size=4, vllm=settings)

    return make


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


def test_a_server_starts_answers_and_leaves_nothing_behind(config, model):
    engine = make_engine(model, config(devices="3"), 64)
    server = engine.server
    assert any(
        "CUDA_VISIBLE_DEVICES=3" in Path(f"/proc/{process}/environ").read_text().split("\0")
        for process in group(server.pid)
    )
    assert server.log.read_text().strip() == "ready"
    assert len(group(server.pid)) == 2
    leader = server.pid
    assert asyncio.run(engine.generate("s", [7], SAMPLING)).token_ids == (8, 9, 10)
    engine.close()
    assert gone(leader)
    assert not server.log.parent.exists()


def test_a_server_that_shares_an_accelerator_sleeps_until_new_weights_come(
    config, model_dirs, tiny_model
):
    weights = tiny_model("llama", seed=3).state_dict()
    engine = make_engine(model_dirs["llama"], config(colocated=True), 64)
    try:
        command = Path(f"/proc/{group(engine.server.pid)[-1]}/cmdline").read_text()
        assert "--enable-sleep-mode" in command
        engine.load_weights(weights)
        engine.rest()
        engine.rest()
        engine.load_weights(weights)
        asked = [line for line in engine.server.log.read_text().splitlines() if "asked" in line]
        assert [line.removeprefix("asked ") for line in asked] == [
            "/collective_rpc",
            "/reset_prefix_cache",
            "/sleep?level=2",
            "/wake_up?tags=weights",
            "/collective_rpc",
            "/wake_up?tags=kv_cache",
            "/reset_prefix_cache",
        ]
    finally:
        engine.close()


def test_a_killed_server_is_started_again_and_asked_again(config, model):
    engine = make_engine(model, config(), 64)
    try:
        first = engine.server.pid

        async def kill_while_generating():
            task = asyncio.create_task(engine.generate("s", [7], SAMPLING))
            await asyncio.sleep(0.1)
            for process in group(first):
                if process != first:
                    os.kill(process, signal.SIGKILL)
            return await task

        assert asyncio.run(kill_while_generating()).token_ids == (8, 9, 10)
        assert engine.server.pid != first
        assert gone(first)
        # The guardian's own death ends its server as well.
        second = engine.server.pid
        os.kill(second, signal.SIGKILL)
        assert gone(second)
        assert asyncio.run(engine.generate("s", [7], SAMPLING)).token_ids == (8, 9, 10)
    finally:
        last = engine.server.pid
        engine.close()
    assert gone(last)


def test_a_server_that_keeps_dying_is_given_up(config, model):
    engine = make_engine(model, config(max_restarts=1), 64)
    try:
        (model / "broken").touch()
        os.kill(engine.server.pid, signal.SIGTERM)
        assert gone(engine.server.pid)
        with pytest.raises(EngineError, match="did not start: ValueError: the model is broken"):
            asyncio.run(engine.generate("s", [7], SAMPLING))
        with pytest.raises(EngineError, match="died 2 times"):
            asyncio.run(engine.generate("s", [7], SAMPLING))
    finally:
        engine.close()


def test_a_server_that_does_not_start_says_why(config, model):
    (model / "broken").touch()
    server = VllmServer(model, config(), 64)
    with pytest.raises(EngineError, match=r"did not start: .*broken.* \(log: .*server.log\)"):
        server.start()
    assert "the model is broken" in server.log.read_text()
    server.close()
    (model / "broken").unlink()
    (model / "slow").touch()
    server = VllmServer(model, config(start_timeout_s=0.5), 64)
    with pytest.raises(EngineError, match=r"within 0\.5 s"):
        server.start()
    assert not server.alive
    server.close()


def test_the_server_dies_with_its_starter(config, model, tmp_path):
    """Killed without a chance to clean up, the starter takes everything with it."""
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from agents.engines.config import EngineConfig\n"
        "from agents.engines.vllm_server import VllmServer\n"
        "config = EngineConfig.model_validate_json(sys.argv[2])\n"
        "server = VllmServer(Path(sys.argv[1]), config, 64)\nserver.start()\n"
        "print(server.pid, flush=True)\ntime.sleep(600)\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program, str(model), config().model_dump_json()],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)},
    )
    leader = int(starter.stdout.readline())
    assert len(group(leader)) == 2
    starter.kill()
    starter.wait()
    starter.stdout.close()
    assert gone(leader)
    assert not list(tmp_path.glob("evolvesearch-*"))


def test_where_vllm_is_looked_for(tmp_path, monkeypatch):
    with pytest.raises(EngineError, match="no program"):
        find_python(str(tmp_path / "nowhere"))
    assert find_python(sys.executable) == sys.executable
    made = tmp_path / ".venv-vllm" / "bin" / "python"
    made.parent.mkdir(parents=True)
    made.touch()
    monkeypatch.chdir(tmp_path)
    assert find_python("") == str(made)
