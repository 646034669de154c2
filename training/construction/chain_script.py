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
_WORDS = {
    "capital_of": "country",
    "discovered_element": "element",
    "iata_code": "IATA code",
    "icao_code": "ICAO code",
    "includes": "country",
    "spoken_in": "country",
    "timezone": "time zone",
    "used_in": "country",
}
"""What is asked for, where the relation's own name does not say it."""

# Short on purpose: on a CPU every sampled token costs as much as ten that are read.
# The first thought names the whole way, later ones only its next place: a small model
# learns that from few examples, three hops included.
_FIRST = ("I need the {plan}.", "Find the {plan}.", "Look up the {plan}.")
_NEXT = (
    "The {found} is {value}. Now its {goal}.",
    "The {found} is {value}. Next, the {goal}.",
    "It is {value}. Now find the {goal}.",
)
_LAST = ("The {found} is {value}.", "So the {found} is {value}.")
_NOT_SHOWN = ("Not shown. Open the page.", "Not shown. Read the page.")
_CHECK = ("Check the page.", "Open the page to check.")
# Two clues, such as a border and a currency: only together do they mean one thing.
_SECOND_CLUE = ("Noted. Now the {goal} of {name}.", "One of these. Next, the {goal} of {name}.")
_BOTH = ("{value} fits both. Now its {goal}.", "Both name {value}. Next, its {goal}.")


def name_of(title: str) -> str:
    """The name in a page's title: `Lyon (city)` gives `Lyon`."""
    return _KIND.sub("", title)


def _words(hop: Hop) -> str:
    return _WORDS.get(hop.relation, hop.relation.replace("_", " "))


def _shows(text: str, value: str) -> bool:
    # `1,234` is not shown by `51,234` nor by `1,234,567`.
    whole = rf"(?<!\w)(?<!\d,){re.escape(value)}(?!\w|,\d)"
    return re.search(whole, text) is not None


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

    def __call__(self, shown: str) -> str:
        """The next turn, given the text that was put in front of it."""
        chain = self._question.chain
        if shown.endswith(ANSWER_PREFIX):
            return f"{chain[-1].value}</answer>"
        if self._hop < 0:
            self._hop = 0
            return self._search(_FIRST)
        hop = chain[self._hop]
        seen = _shows(shown if self._visiting else self._result_of(hop, shown), hop.value)
        if not self._visiting:
            address = next((a for a in (hop.url, hop.subject) if a in shown), None)
            wanted = not seen or self._random.random() < self._visit_rate
            if wanted and address is not None:
                self._visiting = True
                wordings = _CHECK if seen else _NOT_SHOWN
                return self._call(wordings, "visit", url=address, goal=_words(hop))
        if not seen:
            return self._give_up()
        self._visiting = False
        self._hop += 1
        if self._hop < len(chain):
            if self._is_second_clue(self._hop):
                return self._search(_SECOND_CLUE)
            return self._search(_BOTH if self._is_second_clue(self._hop - 1) else _NEXT)
        thought = self._random.choice(_LAST).format(found=_words(hop), value=hop.value)
        return f"<think>{thought}</think><answer>{hop.value}</answer>"

    def _is_second_clue(self, position: int) -> bool:
        """Whether a hop narrows down what the hop before it left open, rather than going on."""
        hop, before = self._question.chain[position], self._question.chain[position - 1]
        return position > 0 and hop.value == before.value and name_of(hop.subject) != hop.value

    def _search(self, wordings: Sequence[str]) -> str:
        hop, before = self._question.chain[self._hop], self._question.chain[self._hop - 1]
        name, goal = name_of(hop.subject), _words(hop)
        wordings = [
            wording.format(
                goal=goal, name=name, found=_words(before), value=before.value, plan=self._plan()
            )
            for wording in wordings
        ]
        return self._call(wordings, "search", query=[f"{name} {goal}"])

    def _plan(self) -> str:
        """What is to be found, in order: `country, then its capital`."""
        return ", then its ".join(_words(hop) for hop in self._question.chain)

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
