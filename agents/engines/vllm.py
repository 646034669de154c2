"""The engine behind a vLLM server: token ids in, sampled ids and logprobs out.

The server's prefix cache keeps what a session has computed: a turn's prompt begins with the whole
conversation so far, so that only what was put behind it is computed. Sessions need no bookkeeping
of ours, and what nobody asks for again gives way by itself.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from agents.engines.answers import read_generation, read_load
from agents.engines.base import EngineLoad, Generation, SamplingParams
from agents.engines.config import EngineConfig
from agents.engines.http_thread import HttpThread
from agents.engines.vllm_client import READ_LOAD_S, VllmClient
from agents.engines.vllm_server import MODEL_NAME, VllmServer
from agents.engines.weights_folder import write_weights
from agents.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor


class VllmEngine:
    """Generates with a server of ours, or with one that runs already.

    Args:
        model_dir: The policy's folder.
        config: How a server of ours runs, or the address of another.
        max_context_tokens: Most tokens, prompt and generation together, of one session.

    Raises:
        EngineError: There is no vLLM, or the server does not start or answer.
    """

    def __init__(self, model_dir: Path, config: EngineConfig, max_context_tokens: int) -> None:
        self._config = config.vllm
        self._model_dir = model_dir
        self._max_context_tokens = max_context_tokens
        self._load = EngineLoad(0, 0)
        self._in_flight = 0
        self._reading: asyncio.Task[None] | None = None
        self._swapped: Path | None = None
        self._asleep = False
        self._server: VllmServer | None = None
        self._model = MODEL_NAME
        if not self._config.url:
            self._server = VllmServer(model_dir, config, max_context_tokens)
            self._server.start()
        self._client = VllmClient(self._config, self._server)
        self._thread = HttpThread("vllm")
        if self._server is None:
            try:
                self._model = self._thread.wait(self._ask_for_model())
            except BaseException:
                self.close()
                raise

    @property
    def max_context_tokens(self) -> int:
        """Most tokens, prompt and generation together, that one session may hold."""
        return self._max_context_tokens

    @property
    def load(self) -> EngineLoad:
        """The server's queue and memory, read twice a second while anything generates."""
        return self._load

    @property
    def server(self) -> VllmServer | None:
        """The server of ours, None where it is another's."""
        return self._server

    async def generate(
        self, session: str, token_ids: Sequence[int], sampling: SamplingParams
    ) -> Generation:
        """Samples a continuation of `token_ids`, the whole conversation of `session` so far.

        A generation that a dying server of ours took with it is asked for again.

        Raises:
            EngineError: The conversation does not fit, or the server failed.
        """
        room = self._max_context_tokens - len(token_ids)
        if not token_ids or room < 1:
            raise EngineError(
                f"session {session!r} has {len(token_ids)} tokens; expected between 1 and "
                f"{self._max_context_tokens - 1}"
            )
        return await self._thread.run(self._generate(list(token_ids), sampling, room))

    def release(self, session: str) -> None:
        """Does nothing: what is not asked for again gives way in the server's cache."""

    def load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Writes the weights as a folder and has the server load it in place; a few seconds.

        Raises:
            EngineError: A generation is running, or the server cannot load them.
        """
        if self._in_flight:
            raise EngineError("cannot load weights while sessions generate; await them first")
        place = None if self._server is None else self._server.folder
        folder = Path(tempfile.mkdtemp(prefix="evolvesearch-weights-", dir=place))
        try:
            write_weights(tensors, self._model_dir, folder)
            self._thread.wait(self._reload(folder))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if self._server is not None:
            self._server.model_dir = folder
        if self._swapped is not None:
            shutil.rmtree(self._swapped, ignore_errors=True)
        self._swapped = folder

    def rest(self) -> None:
        """Gives the accelerator's memory back until the next weights come, where it is shared.

        Raises:
            EngineError: A generation is running, or the server refuses.
        """
        if self._in_flight:
            raise EngineError("cannot rest while sessions generate; await them first")
        if self._config.colocated and self._server is not None and not self._asleep:
            # Level 2 forgets the weights: those that come next replace them.
            self._thread.wait(
                self._client.post("/sleep?level=2", None, self._config.sync_timeout_s)
            )
            self._asleep = True

    def close(self) -> None:
        """Ends the engine, and the server where it is ours; running generations fail."""
        self._thread.close(self._client.aclose())
        if self._server is not None:
            self._server.close()
        if self._swapped is not None:
            shutil.rmtree(self._swapped, ignore_errors=True)

    async def _generate(
        self, token_ids: list[int], sampling: SamplingParams, room: int
    ) -> Generation:
        body = {
            "model": self._model,
            "prompt": token_ids,
            "max_tokens": min(sampling.max_new_tokens, room),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed % 2**63,
            "stop_token_ids": list(sampling.stop_token_ids),
            # Only the ids above end a generation, not those that the model's folder names.
            "ignore_eos": True,
            "logprobs": 0,
            "return_token_ids": True,
            "skip_special_tokens": False,
        }
        self._in_flight += 1
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_load())
        try:
            answer = await self._client.post("/v1/completions", body)
        finally:
            self._in_flight -= 1
        return read_generation(answer)

    async def _reload(self, folder: Path) -> None:
        body = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
        limit_s = self._config.sync_timeout_s
        try:
            if self._asleep:
                await self._client.post("/wake_up?tags=weights", None, limit_s)
            await self._client.post("/collective_rpc", body, limit_s)
            if self._asleep:
                await self._client.post("/wake_up?tags=kv_cache", None, limit_s)
                self._asleep = False
            answer = await self._client.post("/reset_prefix_cache", {}, limit_s)
        except EngineError as error:
            if self._server is not None:
                raise EngineError(f"the new weights did not reach the sampler: {error}") from error
            raise EngineError(
                f"{error}; a server of another's must run with VLLM_SERVER_DEV_MODE=1 and see "
                f"{folder.parent}"
            ) from error
        if not answer.get("success"):
            raise EngineError("the vLLM server did not forget what the old weights had computed")

    async def _ask_for_model(self) -> str:
        try:
            response = await self._client.get("/v1/models", 10.0)
            served = response.json()["data"][0]
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            raise EngineError(f"no vLLM server answers at {self._client.url}: {error}") from error
        most = served.get("max_model_len")
        if most is not None and most < self._max_context_tokens:
            raise EngineError(
                f"max_context_tokens is {self._max_context_tokens}, but the server at "
                f"{self._client.url} takes {most}; lower agents.max_context_tokens or raise "
                "its --max-model-len"
            )
        return str(served["id"])

    async def _read_load(self) -> None:
        while self._in_flight:
            try:
                response = await self._client.get("/metrics", 5.0)
                self._load = read_load(response.text)
            except httpx.HTTPError:
                # A server too busy or too dead to say so says nothing new.
                self._load = EngineLoad(0, 0)
            await asyncio.sleep(READ_LOAD_S)
        self._load = EngineLoad(0, 0)
