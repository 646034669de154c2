"""The neutral conversation: what was asked, and turn by turn what was said and what came back.

Texts are the truth, as tokens are in a transcript: a turn is its text as it was said, a response
the text as it came back. Thought, calls, observation and answer are read out of them, so that a
form that keeps the texts loses nothing, and one that keeps the parts can be checked for what it
lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from training.construction.formats.turn_text import Call, TurnParts, read_response, read_turn


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One turn of the policy and what its call brought.

    Attributes:
        text: What was said, tags included.
        response: The message that came back; None where none did.
        given: What was put in front of the turn and not said by the policy (`<answer>` in front
            of a forced answer).
    """

    text: str
    response: str | None = None
    given: str = ""

    @property
    def parts(self) -> TurnParts:
        """Thought, calls and answer, as far as they can be told apart."""
        return read_turn(self.given + self.text)

    @property
    def thought(self) -> str | None:
        """Content of `<think>`; None where there is none."""
        return self.parts.thought

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls that are JSON."""
        return self.parts.calls

    @property
    def answer(self) -> str | None:
        """Content of `<answer>`; None where there is none."""
        return self.parts.answer

    @property
    def observation(self) -> str | None:
        """What the tool returned; None where nothing came back."""
        return None if self.response is None else read_response(self.response)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One question and the turns that led to its answer.

    Attributes:
        question: The question alone.
        answers: Right answers, the canonical one first; empty where unknown.
        system: The system text; None where there is no system message.
        user: The first user text as it was shown, the question within it.
        turns: The turns, the last one without a response in a finished conversation.
        tools: The tools' schemas as JSON text, empty where the row names none.
        rest: Other fields of the row it came from, by name and in order; None stands where its
            messages stood.
    """

    question: str
    answers: tuple[str, ...]
    system: str | None
    user: str
    turns: tuple[ChatTurn, ...]
    tools: str = ""
    rest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def final_answer(self) -> str | None:
        """The last turn's answer, stripped; None where it has none."""
        answer = self.turns[-1].answer if self.turns else None
        return answer.strip() if answer is not None else None

    @property
    def question_id(self) -> str:
        """Names the question by its text, so that all its conversations share it."""
        return f"q-{hashlib.sha256(self.question.encode()).hexdigest()[:16]}"

    @property
    def conversation_id(self) -> str:
        """Names the conversation by all that was asked and said."""
        digest = hashlib.sha256()
        texts = [self.system or "", self.user]
        for turn in self.turns:
            texts += [turn.given, turn.text, turn.response or ""]
        for text in texts:
            data = text.encode()
            digest.update(f"{len(data)}:".encode() + data)
        return f"c-{digest.hexdigest()[:20]}"
