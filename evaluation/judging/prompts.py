"""The judges' prompts and what a reply to each must look like.

They say in our words what their owners' prompts ask for, and hedged answers are wrong in all:

* `deepresearcher`: rationale and judgement by a list of right answers, as JSON, the MBE of
  DeepResearcher (Zheng et al., arXiv 2504.03160);
* `webdancer`: equivalence to the labelled answer, correct or incorrect (WebDancer, arXiv
  2505.22648, whose evaluation took it from WebThinker's);
* `simpleqa`: correct, incorrect or not attempted (Wei et al., arXiv 2411.04368).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from agents.protocol import without_brackets
from agents.sections import split_sections
from evaluation.judging.config import PromptName
from evaluation.judging.marks import Grade, JudgeItem

_MARKS = re.compile(r"\{\{ (question|answers|predicted) \}\}")
_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL | re.IGNORECASE)

_TWO = {"correct": Grade.CORRECT, "incorrect": Grade.INCORRECT}
_THREE = {**_TWO, "not_attempted": Grade.NOT_ATTEMPTED}


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """A prompt and the contract of its replies.

    Attributes:
        name: Its name.
        system: The instructions.
        user: The template of what is judged.
        reminder: What is said after a reply that breaks the contract.
        grade_field: Field of the reply that holds the grade.
        reason_field: Field that says why; empty where the reply has none.
        grades: Grades by what the reply calls them, in lower case.
    """

    name: str
    system: str
    user: str
    reminder: str
    grade_field: str
    reason_field: str
    grades: Mapping[str, Grade]

    @property
    def digest(self) -> str:
        """Names the prompt's text."""
        text = json.dumps([self.system, self.user, self.reminder])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def ask(self, item: JudgeItem) -> str:
        """What is judged, as text: each part a JSON value, which no part can break out of."""
        answers = [_harmless(answer) for answer in dict.fromkeys(item.answers)]
        values = {
            "question": _quoted(_harmless(item.question)),
            "answers": _quoted(answers),
            "predicted": _quoted(_harmless(item.predicted or "")),
        }
        return _MARKS.sub(lambda mark: values[mark.group(1)], self.user)

    def read(self, reply: str) -> tuple[Grade, str]:
        """Reads a reply strictly; a thought before it and a code fence around it are taken off.

        Returns:
            The grade, and why.

        Raises:
            ValueError: It is not one JSON object of just the right fields and values.
        """
        thought = _THOUGHT.match(reply)
        text = (reply[thought.end() :] if thought else reply).strip()
        fenced = _FENCE.fullmatch(text)
        try:
            said = json.loads(
                fenced.group(1) if fenced else text, object_pairs_hook=_without_repeats
            )
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the reply is not JSON: {_shortened(text)}") from error
        fields = {self.grade_field, self.reason_field} - {""}
        texts = isinstance(said, dict) and all(isinstance(value, str) for value in said.values())
        if not texts or set(said) != fields:
            names = " and ".join(sorted(fields))
            raise ValueError(f"the reply is no object of {names}: {_shortened(text)}")
        grade = self.grades.get(said[self.grade_field].strip().lower())
        if grade is None:
            raise ValueError(
                f"the reply's {self.grade_field} is {_shortened(said[self.grade_field])!r}, "
                f"not one of {', '.join(self.grades)}"
            )
        why = said.get(self.reason_field, f"graded {grade.value.replace('_', ' ')}")
        return grade, _on_one_line(why)


@cache
def judge_prompt(name: PromptName) -> JudgePrompt:
    """A prompt of this package by name."""
    path = Path(__file__).parents[1] / "prompts" / f"{name}.md"
    sections = split_sections(path.read_text(encoding="utf-8"))
    contracts: dict[PromptName, tuple[str, str, Mapping[str, Grade]]] = {
        "deepresearcher": ("judgement", "rationale", _TWO),
        "webdancer": ("judgement", "", _TWO),
        "simpleqa": ("grade", "", _THREE),
    }
    return JudgePrompt(
        name, sections["system"], sections["user"], sections["reminder"], *contracts[name]
    )


def _harmless(text: str) -> str:
    return without_brackets(text).strip()


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is given twice")
    return found


def _on_one_line(text: str) -> str:
    # Escapes such as \ud800 make strings that no file can hold.
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _shortened(text: str, most: int = 120) -> str:
    line = _on_one_line(text)
    return line if len(line) <= most else f"{line[:most]}…"
