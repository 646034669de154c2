"""What a policy would say that follows a known chain: one search for each fact, then the answer.

The script sees only what the policy would see. Where a tool's response does not show a fact, the
page is visited; where that does not show it either, the chain cannot be followed and the
trajectory is given up rather than invented.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence

from agents.protocol import ANSWER_PREFIX
from agents.trajectory import Hop, Question

_KIND = re.compile(r" \([a-z ]+\)$")
_RESULT = re.compile(r"^\[\d+\] ", re.MULTILINE)
_FIRST = ("I need {goal}.", "First find {goal}.", "Look up {goal}.")
_NEXT = ("{found}. Now {goal}.", "{found}. Next find {goal}.", "{found}. I need {goal}.")
_LAST = ("{found}.", "{found}. That is the answer.")
_NOT_SHOWN = ("The results do not say it. Open the page.", "Not shown. Read the page.")
_CHECK = ("Read the page to be sure.", "Open the page to check.")
_IDENTIFY = ("I need to find out what is meant.", "First find what is described.")


def name_of(title: str) -> str:
    """The name in a page's title: `Lyon (city)` gives `Lyon`."""
    return _KIND.sub("", title)


def _goal(hop: Hop) -> str:
    return f"the {hop.relation.replace('_', ' ')} of {name_of(hop.subject)}"


def _found(hop: Hop) -> str:
    return f"The {_goal(hop)[4:]} is {hop.value}"


def _shows(text: str, value: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None


class ChainScript:
    """Says the turns of one question's chain; an instance serves one trajectory.

    Attributes:
        failed: Whether the chain could not be followed; what was said since then is filler.

    Args:
        question: A question with its chain.
        seed: Seed of the choice between wordings and of voluntary visits.
        visit_rate: Share of hops whose page is visited although the search shows the value.
    """

    def __init__(self, question: Question, seed: int, visit_rate: float) -> None:
        self.failed = False
        self._question = question
        self._random = random.Random(seed)
        self._visit_rate = visit_rate
        self._hop = -1
        self._visiting = False
        self._identifying = False

    def __call__(self, shown: str) -> str:
        """The next turn, given the text that was put in front of it."""
        chain = self._question.chain
        if shown.endswith(ANSWER_PREFIX):
            return f"{chain[-1].value}</answer>"
        if self._hop < 0:
            self._hop = 0
            if name_of(chain[0].subject).casefold() not in self._question.text.casefold():
                self._identifying = True
                return self._call(_IDENTIFY, "search", query=[self._question.text])
            return self._search(_FIRST)
        if self._identifying:
            self._identifying = False
            if not _shows(shown, name_of(chain[0].subject)):
                return self._give_up()
            return self._search(_FIRST)
        hop = chain[self._hop]
        seen = _shows(shown if self._visiting else self._result_of(hop, shown), hop.value)
        if not self._visiting:
            address = next((a for a in (hop.url, hop.subject) if a in shown), None)
            wanted = not seen or self._random.random() < self._visit_rate
            if wanted and address is not None:
                self._visiting = True
                goal = hop.relation.replace("_", " ")
                wordings = _CHECK if seen else _NOT_SHOWN
                return self._call(wordings, "visit", url=address, goal=goal)
        if not seen:
            return self._give_up()
        self._visiting = False
        self._hop += 1
        if self._hop < len(chain):
            return self._search(_NEXT)
        thought = self._random.choice(_LAST).format(found=_found(hop))
        return f"<think>{thought}</think><answer>{hop.value}</answer>"

    def _search(self, wordings: Sequence[str]) -> str:
        hop = self._question.chain[self._hop]
        found = _found(self._question.chain[self._hop - 1]) if self._hop else ""
        query = f"{name_of(hop.subject)} {hop.relation.replace('_', ' ')}"
        wordings = [wording.format(goal=_goal(hop), found=found) for wording in wordings]
        return self._call(wordings, "search", query=[query])

    def _call(self, wordings: Sequence[str], tool: str, **arguments: str | list[str]) -> str:
        call = json.dumps({"name": tool, "arguments": arguments}, ensure_ascii=False)
        thought = self._random.choice(wordings)
        return f"<think>{thought}</think><tool_call>{call}</tool_call>"

    def _give_up(self) -> str:
        self.failed = True
        return "<think>It cannot be found.</think><answer>unknown</answer>"

    @staticmethod
    def _result_of(hop: Hop, shown: str) -> str:
        """The results, of those shown, that come from the page that states the fact."""
        results = _RESULT.split(shown)[1:]
        return "\n".join(result for result in results if result.startswith(hop.subject))
