"""A small ChatML tokenizer, a small web and engines that play written turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from agents.engines.base import Generation, SamplingParams
from agents.errors import EngineError
from agents.rollout import RolloutJob
from agents.trajectory import Hop, Question

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = [
    "<think>I need the country of Lyon.</think><tool_call>"
    '{"name": "search", "arguments": {"query": ["Lyon country"]}}</tool_call>',
    "<think>The country of Lyon is France.</think><answer>France</answer>",
    "<tool_response>\n[1] Lyon (city) http://wiki.local/Lyon_(city)\nLyon is a city in France.",
    "The currency of France is Euro. Answer the question by searching.",
]


def make_tokenizer(
    template: str = CHATML, tag_tokens: Iterable[str] = ()
) -> PreTrainedTokenizerFast:
    """A byte-level BPE of a few hundred tokens; `tag_tokens` are added as Qwen adds its tags."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    backend.add_tokens([AddedToken(text, special=False, normalized=False) for text in tag_tokens])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=template,
    )


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@dataclass(frozen=True)
class SmallPage:
    url: str
    title: str
    text: str

    @property
    def snippet(self) -> str:
        return self.text.partition("\n")[0]


def page(title: str, text: str) -> SmallPage:
    return SmallPage(f"http://wiki.local/{title.replace(' ', '_')}", title, text)


@dataclass
class SmallWeb:
    """Finds pages whose title's first word is in the query."""

    pages: list[SmallPage]
    queries: list[str] = field(default_factory=list)

    def search(self, query: str, k: int) -> list[SmallPage]:
        self.queries.append(query)
        return [p for p in self.pages if p.title.split()[0] in query.split()][:k]

    def page(self, url: str) -> SmallPage | None:
        return next((p for p in self.pages if url in (p.url, p.title)), None)


@pytest.fixture
def web() -> SmallWeb:
    return SmallWeb(
        [
            page("Lyon (city)", "Lyon is a city in France.\nThe population of Lyon is 522,250."),
            page("France (country)", "The currency of France is Euro."),
        ]
    )


@pytest.fixture
def question() -> Question:
    return Question(
        question_id="q1",
        text="What is the currency of the country where Lyon is located?",
        answers=("Euro", "EUR"),
        family="city-country-currency",
        num_hops=2,
        start="Lyon (city)",
        chain=(
            Hop("Lyon (city)", "country", "France", "http://wiki.local/Lyon_(city)"),
            Hop("France (country)", "currency", "Euro", "http://wiki.local/France_(country)"),
        ),
    )


class PlayedEngine:
    """Plays the same written turns to every session and keeps what it was asked.

    A turn may be an exception to raise, or a number of seconds to sleep before the next one.
    """

    def __init__(
        self,
        tokenizer: Any,
        turns: Sequence[str | Exception | float],
        max_context_tokens: int = 4096,
        end: str = "<|im_end|>",
    ) -> None:
        self.tokenizer = tokenizer
        self.turns = turns
        self.max_context_tokens = max_context_tokens
        self.end = end
        self.asked: dict[str, list[tuple[list[int], SamplingParams]]] = {}
        self.released: list[str] = []
        self._next: dict[str, int] = {}

    async def generate(
        self, session: str, token_ids: Sequence[int], sampling: SamplingParams
    ) -> Generation:
        self.asked.setdefault(session, []).append((list(token_ids), sampling))
        while True:
            await asyncio.sleep(0)
            position = self._next.get(session, 0)
            self._next[session] = position + 1
            turn = self.turns[position]
            if not isinstance(turn, float):
                break
            await asyncio.sleep(turn)
        if isinstance(turn, Exception):
            raise turn
        ids = self.tokenizer.encode(turn + self.end, add_special_tokens=False)
        sampled = tuple(ids[: sampling.max_new_tokens])
        if len(token_ids) + len(sampled) > self.max_context_tokens:
            raise EngineError("does not fit")
        logprobs = tuple(-0.5 - i for i in range(len(sampled)))
        return Generation(sampled, logprobs, "stop" if sampled == tuple(ids) else "length")

    def release(self, session: str) -> None:
        self.released.append(session)

    def close(self) -> None:
        pass


@pytest.fixture
def job_of(question: Question) -> Callable[..., RolloutJob]:
    def make(index: int = 0, asked: Question = question) -> RolloutJob:
        return RolloutJob(asked, index, 7, 0.7, 1.0, 1, "policydigest0", "rollout")

    return make


def call(name: str = "search", **arguments: Any) -> str:
    import json

    body = json.dumps({"name": name, "arguments": arguments})
    return f"<think>t</think><tool_call>{body}</tool_call>"


@pytest.fixture
def small() -> Any:
    """The makers of this file, for tests that need other arguments than the fixtures'."""

    class Makers:
        tokenizer = staticmethod(make_tokenizer)
        engine = PlayedEngine
        web = SmallWeb
        page = staticmethod(page)
        call = staticmethod(call)
        chatml = CHATML

    return Makers
