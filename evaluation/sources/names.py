"""How benchmarks are called: one name for each, whatever a file calls it."""

from __future__ import annotations

import re

_ALSO_CALLED = {
    "nq": ("natural_questions", "naturalquestions", "nq_open"),
    "triviaqa": ("tq", "trivia_qa", "trivia"),
    "popqa": ("pop_qa",),
    "hotpotqa": ("hotpot", "hotpot_qa"),
    "2wiki": ("2wikimultihopqa", "2wikimultihop", "2wikimqa", "2wiki_multihopqa"),
    "musique": ("musique_ans",),
    "bamboogle": (),
    "gaia": (),
    "webwalkerqa": ("webwalker", "web_walker_qa"),
    "browsecomp": ("browse_comp",),
    "frames": ("frames_benchmark",),
    "simpleqa": ("simple_qa",),
    "fanoutqa": ("fanout", "fan_out_qa"),
}
_NAMES = {alias: name for name, others in _ALSO_CALLED.items() for alias in (name, *others)}

_HOPS = {"nq": 1, "triviaqa": 1, "popqa": 1, "simpleqa": 1, "hotpotqa": 2, "bamboogle": 2}
"""Facts that a question needs, for sets in which all questions need as many."""


def benchmark_name(text: str) -> str:
    """The name of a benchmark, whatever it is called; an unknown one keeps its own.

    `tq` is triviaqa, `Bamboogle` is bamboogle, `2WikiMultihopQA` is 2wiki.
    """
    plain = re.sub(r"[\s-]+", "_", text.strip())
    return _NAMES.get(plain.lower(), plain)


def hops_of(benchmark: str, key: str) -> int:
    """Number of facts that a question needs, 0 where unknown.

    Args:
        benchmark: Name of its benchmark.
        key: Its id there; MuSiQue's begins with the number (`3hop1__…`).
    """
    if benchmark == "musique" and (match := re.match(r"(\d)hop", key)):
        return int(match.group(1))
    return _HOPS.get(benchmark, 0)
