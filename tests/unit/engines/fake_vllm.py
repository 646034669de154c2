"""A small server with vLLM's interface, for tests of the client and of the process around it.

Run as a program it is what `python -m vllm.entrypoints.openai.api_server` would be: it takes the
same arguments, and dies at its start where the model's folder says so.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

METRICS = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="policy"} 3.0
vllm:num_requests_running{engine="1",model_name="policy"} 2.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="policy"} 4.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 4.0
vllm:kv_cache_usage_perc{engine="0",model_name="policy"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="policy"} 0.75
"""


class FakeVllm(ThreadingHTTPServer):
    """Counts up from the prompt's last token; what it says instead is in `answers`."""

    daemon_threads = True

    def __init__(self, port: int = 0, delay_s: float = 0.0, max_model_len: int = 512) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, tuple[int, Any]] = {}
        self.delay_s = delay_s
        self.max_model_len = max_model_len

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> FakeVllm:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: FakeVllm

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._send(200, METRICS)
        elif self.path == "/v1/models":
            served = {"id": "served", "max_model_len": self.server.max_model_len}
            self._send(*self.server.answers.get(self.path, (200, {"data": [served]})))
        else:
            self._send(200, "")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "null")
        self.server.asked.append((self.path, body))
        print("asked", self.path, flush=True)
        time.sleep(self.server.delay_s)
        if self.path in self.server.answers:
            self._send(*self.server.answers[self.path])
        elif self.path == "/v1/completions":
            ids = [body["prompt"][-1] + 1 + i for i in range(body["max_tokens"])]
            stops = [i for i, token in enumerate(ids) if token in body["stop_token_ids"]]
            ids = ids[: stops[0] + 1] if stops else ids
            logprobs = {"token_logprobs": [-0.5] * len(ids)}
            reason = "stop" if stops else "length"
            choice = {"token_ids": ids, "logprobs": logprobs, "finish_reason": reason}
            self._send(200, {"choices": [choice]})
        elif self.path == "/reset_prefix_cache":
            self._send(200, {"success": True})
        else:
            self._send(200, {"results": [None]})

    def _send(self, status: int, answer: Any) -> None:
        data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    options = dict(name.partition("=")[::2] for name in sys.argv[1:] if name.startswith("--"))
    if (Path(options["--model"]) / "broken").exists():
        print("loading", flush=True)
        raise ValueError("the model is broken")
    if (Path(options["--model"]) / "slow").exists():
        time.sleep(600)
    print("ready", flush=True)
    FakeVllm(int(options["--port"]), delay_s=0.3).serve_forever()


if __name__ == "__main__":
    main()
