"""The judge behind a chat API: temperature 0, strict JSON, each verdict paid for once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agents.engines.chat_api import ChatApi
from agents.engines.http_thread import HttpThread
from agents.interruption import run_interruptibly
from agents.progress import Bar, progress
from evaluation.judging.asking import Asker
from evaluation.judging.certain import certain_mark
from evaluation.judging.config import JudgeConfig
from evaluation.judging.marks import JudgeItem, Mark, VerdictCache
from evaluation.judging.prompts import JudgePrompt


class MemoryCache:
    """Keeps verdicts while it lives."""

    def __init__(self) -> None:
        self._verdicts: dict[str, str] = {}

    def get_many(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The verdicts that are there, by key."""
        return {key: self._verdicts[key] for key in keys if key in self._verdicts}

    def put(self, key: str, verdict: str) -> None:
        """Keeps a verdict, unless there is one."""
        self._verdicts.setdefault(key, verdict)


class ApiJudge:
    """Asks a model about what no rule decides; equal questions once, and never twice.

    Args:
        config: The model and the prompt.
        cache: Where verdicts are kept and found again; None keeps them while the judge lives.
        section: Name of `config` in the configuration, for errors.
        prompt: What is asked in place of the configured prompt, by whoever asks with `verdicts`.

    Raises:
        UsageError: The environment has no key.
    """

    def __init__(
        self,
        config: JudgeConfig,
        cache: VerdictCache | None,
        section: str = "benchmark.judge",
        prompt: JudgePrompt | None = None,
    ) -> None:
        self._config = config
        self._cache = MemoryCache() if cache is None else cache
        self._api = ChatApi(config.api, section=f"{section}.api")
        self._asker = Asker(config, self._api, prompt)
        self._thread = HttpThread("judge")

    @property
    def identity(self) -> str:
        """Model and prompt."""
        return self._asker.identity

    def mark(self, items: Sequence[JudgeItem]) -> list[Mark]:
        """Judges answers: by rule where that is certain, from the cache, or by asking.

        An `agents.interruption.Interruption` around it can end it; it is not called from within an
        event loop.

        Raises:
            BudgetError: The budget is spent; verdicts that came are in the cache.
            ValueError: An item has no right answers.
        """
        marks = [certain_mark(item) for item in items]
        shown = {
            place: self._asker.shown(item)
            for place, item in enumerate(items)
            if marks[place] is None
        }
        said = self.verdicts(list(dict.fromkeys(shown.values())))
        asked_for: set[str] = set()
        for place, text in shown.items():
            mark = said[text]
            # What stands in several items was paid for once.
            marks[place] = replace(mark, cached=True) if text in asked_for else mark
            asked_for.add(text)
        return [mark for mark in marks if mark is not None]

    def close(self) -> None:
        """Closes the connections."""
        self._thread.close(self._api.close())

    def verdicts(self, texts: Sequence[str]) -> dict[str, Mark]:
        """The marks of what is shown, by that: from the cache, or by asking.

        Args:
            texts: What the model is shown, each once.

        Raises:
            BudgetError: The budget is spent; verdicts that came are in the cache.
        """
        keys = {text: self._asker.key(text) for text in texts}
        kept = self._cache.get_many(list(keys.values()))
        marks: dict[str, Mark] = {}
        for text, key in keys.items():
            mark = self._asker.kept_mark(text, kept[key]) if key in kept else None
            if mark is not None:
                marks[text] = mark
        unknown = [text for text in texts if text not in marks]
        if unknown:
            with progress("Judging answers", len(unknown), "answers") as bar:
                marks |= run_interruptibly(self._thread.run(self._ask_all(unknown, keys, bar)))
        return marks

    async def _ask_all(
        self, texts: Sequence[str], keys: Mapping[str, str], bar: Bar
    ) -> dict[str, Mark]:
        places = asyncio.Semaphore(self._config.concurrency)

        async def ask(text: str) -> Mark:
            async with places:
                mark, verdict = await self._asker.ask(text)
                if verdict is not None:
                    # A store may be far away; the others go on meanwhile.
                    await asyncio.to_thread(self._cache.put, keys[text], verdict.to_text())
                bar.advance()
                return mark

        # Where a budget ends it, what is on its way is paid for and worth keeping.
        results = await asyncio.gather(*map(ask, texts), return_exceptions=True)
        marks: dict[str, Mark] = {}
        for text, result in zip(texts, results, strict=True):
            if isinstance(result, BaseException):
                raise result
            marks[text] = result
        return marks
