"""The engine behind a chat API: a model that shows texts and neither token ids nor logprobs.

The runner's conversation is token ids by our tokenizer. They are read back as messages by the
pieces of the chat template, which contents can never forge; the reply's text is encoded by the
same tokenizer. So limits, masks and records work as for any engine, and `logprobs` is None: the
transcript then marks the turn as not sampled, and no trainer takes its tokens for the model's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.chat_format import ChatFormat
from agents.engines.base import Generation, SamplingParams
from agents.engines.chat_api import ChatApi, ChatReply, Spend
from agents.engines.config import EngineConfig
from agents.engines.http_thread import HttpThread
from agents.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor

BEGIN_WITH = "\n\nBegin your reply with {prefix} and write nothing before it."


class OpenAiEngine:
    """Asks an API for each turn.

    Args:
        model_dir: Folder whose tokenizer counts and records the conversations.
        config: The API.
        max_context_tokens: Most tokens of one session, by that tokenizer.
        api: Stands in for the API's client, in tests.

    Raises:
        UsageError: The environment has no key.
        EngineError: The tokenizer has no usable chat template.
    """

    def __init__(
        self,
        model_dir: Path,
        config: EngineConfig,
        max_context_tokens: int,
        api: ChatApi | None = None,
    ) -> None:
        from transformers import AutoTokenizer

        tokenizer: Any = AutoTokenizer.from_pretrained(model_dir, trust_remote_code=False)
        self._chat = ChatFormat(tokenizer)
        self._max_context_tokens = max_context_tokens
        self._api = api or ChatApi(config.openai)
        self._thread = HttpThread("chat api")

    @property
    def max_context_tokens(self) -> int:
        """Most tokens of one session, by our tokenizer."""
        return self._max_context_tokens

    @property
    def spend(self) -> Spend:
        """What has been asked and spent so far."""
        return self._api.spend

    async def generate(
        self, session: str, token_ids: Sequence[int], sampling: SamplingParams
    ) -> Generation:
        """Asks for the next turn of a conversation.

        Raises:
            EngineError: The conversation does not fit, or the API failed.
            BudgetError: The budget is spent.
        """
        room = self._max_context_tokens - len(token_ids)
        if room < 1:
            raise EngineError(
                f"session {session!r} has {len(token_ids)} tokens, the limit is "
                f"{self._max_context_tokens}"
            )
        messages = self._chat.messages(token_ids)
        prefix = ""
        if messages[-1]["role"] == "assistant":
            # Few APIs go on with a turn that has begun; all can be told how to begin one.
            prefix = messages.pop()["content"]
            messages[-1]["content"] += BEGIN_WITH.format(prefix=prefix)
        limit = min(sampling.max_new_tokens, room)
        reply = await self._thread.run(
            self._api.complete(
                messages,
                limit,
                len(token_ids),
                sampling.temperature,
                sampling.top_p,
                sampling.seed % 2**31,
            )
        )
        return self._generation(reply, prefix, limit)

    def release(self, session: str) -> None:
        """Does nothing: an API keeps no session of ours."""

    def load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Refuses: nobody but the API's owner changes its model.

        Raises:
            EngineError: Always.
        """
        raise EngineError(
            "a model behind an API cannot be trained; use engine.kind transformers or vllm for RL"
        )

    def rest(self) -> None:
        """Does nothing: the memory is another's."""

    def close(self) -> None:
        """Closes the connections; running requests fail."""
        self._thread.close(self._api.close())

    def _generation(self, reply: ChatReply, prefix: str, limit: int) -> Generation:
        text = reply.text.strip()
        if prefix and text.startswith(prefix):
            text = text[len(prefix) :]
        ids = self._chat.encode_reply(text)
        # Our tokenizer may count more tokens than theirs; the room is counted in ours.
        if reply.finish_reason == "length" or len(ids) >= limit:
            ids, ended = ids[:limit], False
        else:
            ids, ended = [*ids, self._chat.end_of_turn], True
        if not ids:
            raise EngineError("the API returned an empty reply")
        return Generation(tuple(ids), None, "stop" if ended else "length", reply.cost)
