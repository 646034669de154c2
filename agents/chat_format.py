"""How a tokenizer's chat template looks around texts, derived from the template itself.

The pieces are found by rendering the template with marks in place of the texts and taking what
stands between them. So any template works (ChatML and others), and one that rewrites history
(dropping earlier thoughts, as Qwen3's) cannot: history is never rendered again.

Texts are encoded piece by piece. Template pieces may contain control tokens; contents never do,
whatever they say (`encode_plain`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

from agents.errors import EngineError
from agents.protocol import TAGS

CACHED_TEXTS = 4096
BARELY_BEGUN = 24
"""Characters under which the last line of a cut text is left out."""

_SYSTEM, _USER, _REPLY, _NEXT = (f"\ue000{i}\ue001" for i in range(4))


class Tokenizer(Protocol):
    """What is used of a Hugging Face tokenizer (its own annotations are wider)."""

    def encode(self, text: str, /, *, add_special_tokens: bool) -> Any:
        """Token ids of a text, as a list of int."""
        ...

    def decode(
        self, ids: Any, /, *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool
    ) -> Any:
        """Text of token ids."""
        ...

    def apply_chat_template(
        self, messages: Any, /, *, tokenize: bool, add_generation_prompt: bool
    ) -> Any:
        """Renders messages, each a mapping with `role` and `content`, as one text."""
        ...

    def get_added_vocab(self) -> Any:
        """Ids of the tokens outside the ordinary vocabulary, by text."""
        ...


class ChatFormat:
    """The pieces of a tokenizer's chat template, and encoding that respects them.

    Attributes:
        before_system: Ids in front of the system text.
        before_user: Ids between the system text and the first user text.
        generation: Ids between a user text and what the policy samples.
        end_of_turn: Id that ends the policy's turn.
        after_turn: Ids between `end_of_turn` and the next user text.
        stop_token_ids: Ids that end a generation.

    Raises:
        EngineError: The tokenizer has no usable chat template.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        # The same template pieces, and the same observations within a group, come again and again.
        self._encoded = lru_cache(CACHED_TEXTS)(
            lambda text: tuple(tokenizer.encode(text, add_special_tokens=False))
        )
        added: dict[str, int] = tokenizer.get_added_vocab()
        tags = {f"<{slash}{tag}>" for tag in TAGS for slash in ("", "/")}
        controls = {text: i for text, i in added.items() if text.strip() and text not in tags}
        self.control_ids = frozenset(controls.values())
        self._control_texts = tuple(controls)
        cuttable = [text for text in added if text.strip() and len(text) > 1]
        longest_first = sorted(cuttable, key=len, reverse=True)
        self._added = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        start, middle, generation, after = self._pieces()
        self.before_system = self.encode(start)
        self.before_user = self.encode(middle)
        self.generation = self.encode(generation)
        closing = self.encode(after)
        ends = [i for i, token in enumerate(closing) if token in self.control_ids]
        if not ends:
            raise EngineError("the chat template does not end the assistant's turn with a token")
        self.end_of_turn = closing[ends[0]]
        self.after_turn = tuple(closing[ends[0] + 1 :])
        eos: int | None = getattr(tokenizer, "eos_token_id", None)
        stops = [self.end_of_turn] if eos is None else [self.end_of_turn, eos]
        self.stop_token_ids = tuple(dict.fromkeys(stops))

    def _pieces(self) -> tuple[str, str, str, str]:
        if getattr(self.tokenizer, "chat_template", "of its own") is None:
            raise EngineError(
                "the model has no chat template: take its instruct variant, or put a "
                "chat_template.jinja into its folder"
            )
        first = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}]
        more = [{"role": "assistant", "content": _REPLY}, {"role": "user", "content": _NEXT}]
        try:
            whole = self._render(first + more)
        except EngineError:
            # Some templates refuse system turns: their system text goes in front of the user's.
            first = [{"role": "user", "content": f"{_SYSTEM}\n\n{_USER}"}]
            whole = self._render(first + more)
        found = re.fullmatch(
            f"(.*){_SYSTEM}(.*){_USER}(.*){_REPLY}(.*){_NEXT}(.*)", whole, re.DOTALL
        )
        prompt = self._render(first)
        if found is None or _USER not in prompt:
            raise EngineError("the chat template does not show system, user and assistant texts")
        return found[1], found[2], prompt.partition(_USER)[2], found[4]

    def _render(self, messages: list[dict[str, str]]) -> str:
        # Jinja raises its own errors, templates raise whatever they like.
        try:
            rendered: Any = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:
            raise EngineError(f"the model's chat template does not render: {error}") from error
        assert isinstance(rendered, str)
        return rendered

    def encode(self, text: str) -> list[int]:
        """Encodes text of ours, in which control tokens and tags mean what they say."""
        return list(self._encoded(text)) if text else []

    def encode_plain(self, text: str) -> list[int]:
        """Encodes untrusted text: nothing in it becomes a token outside the ordinary vocabulary.

        Texts of such tokens are cut after their first character and encoded apart, so that the
        ids still spell the same text.
        """
        ids: list[int] = []
        position = 0
        while (found := self._added.search(text, position)) is not None:
            ids += self.encode(text[position : found.start() + 1])
            position = found.start() + 1
        ids += self.encode(text[position:])
        return ids

    def encode_reply(self, text: str) -> list[int]:
        """Encodes a turn that came as text: tags mean what they say, control tokens nothing."""
        if any(control in text for control in self._control_texts):
            return self.encode_plain(text)
        return self.encode(text)

    def messages(self, ids: Sequence[int]) -> list[dict[str, str]]:
        """Reads a conversation that was made of `first_prompt` and `next_prompt` back as messages.

        Contents hold no control tokens, so the template's pieces are found by their ids. Where
        the ids go on behind the last `generation`, the last message is the turn that has begun.

        Raises:
            EngineError: The ids are no such conversation.
        """
        rest = list(ids)
        if rest[: len(self.before_system)] != list(self.before_system):
            raise EngineError("the conversation does not begin as the chat template does")
        del rest[: len(self.before_system)]
        messages = []
        system, rest = _split(rest, self.before_user)
        if system:
            messages.append({"role": "system", "content": self.decode(system)})
        while True:
            user, rest = _split(rest, self.generation)
            messages.append({"role": "user", "content": self.decode(user)})
            if self.end_of_turn not in rest:
                break
            reply, rest = _split(rest, [self.end_of_turn, *self.after_turn])
            messages.append({"role": "assistant", "content": self.decode(reply)})
        if rest:
            messages.append({"role": "assistant", "content": self.decode(rest)})
        return messages

    def decode(self, ids: Sequence[int]) -> str:
        """The text that ids spell, control tokens included."""
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text

    def first_prompt(self, system: str, user: Sequence[tuple[str, bool]]) -> list[int]:
        """Ids of a conversation's beginning, up to where the policy goes on.

        Args:
            system: The system text, empty for an empty system turn.
            user: The user text in pieces, each with whether it is ours (else untrusted).
        """
        ids = [*self.before_system, *self.encode(system), *self.before_user]
        return [*ids, *self._pieces_ids(user), *self.generation]

    def next_prompt(self, ended: bool, user: Sequence[tuple[str, bool]]) -> list[int]:
        """Ids between a sampled turn and the next one, with a user turn in between.

        Args:
            ended: Whether the sampled turn ended with `end_of_turn` itself.
            user: The user text in pieces, each with whether it is ours (else untrusted).
        """
        closing = [] if ended else [self.end_of_turn]
        return [*closing, *self.after_turn, *self._pieces_ids(user), *self.generation]

    def _pieces_ids(self, pieces: Sequence[tuple[str, bool]]) -> list[int]:
        ids: list[int] = []
        for text, trusted in pieces:
            ids += self.encode(text) if trusted else self.encode_plain(text)
        return ids

    def cut(self, text: str, max_tokens: int) -> str:
        """Cuts untrusted text to a number of tokens, at the end of a word, marked by `…`."""
        if len(self.encode_plain(text)) <= max_tokens:
            return text
        keep = max_tokens - 1
        while keep > 0:
            head = self.decode(self.encode_plain(text)[:keep]).rstrip("\ufffd")
            space = max(head.rfind(" "), head.rfind("\n"))
            # Scripts without spaces are cut at any character.
            head = head[:space] if space > len(head) // 2 else head
            # A line that has barely begun says nothing.
            line = head.rfind("\n")
            head = head[:line] if line > 0 and len(head) - line < BARELY_BEGUN else head
            shown = f"{head.rstrip()}…"
            if len(self.encode_plain(shown)) <= max_tokens:
                return shown
            keep -= 1
        return ""


def _split(ids: list[int], piece: Sequence[int]) -> tuple[list[int], list[int]]:
    """What stands before and behind the first occurrence of `piece`."""
    width = len(piece)
    for start in range(len(ids) - width + 1):
        if ids[start : start + width] == list(piece):
            return ids[:start], ids[start + width :]
    raise EngineError("the conversation lacks a piece of the chat template")
