"""Which policy of a sweep is the best, by what, and how sure that is.

Choosing is fitting: what policies are chosen by says nothing honest about the chosen one any more.
So the choice is made by the gate's questions, which no report counts, as promotions are. Only where
the gate was not asked is it made by the reported benchmarks, and then it says so.

Runs that differ in nothing but the seed are one setting, chosen by the mean of its seeds: the best
of several seeds is mostly luck. The policy named is that setting's best by the same questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from evaluation.comparison import AVERAGE, Comparison, compare
from tasks.sweep_rows import SweepAnswers, SweepRow


@dataclass(frozen=True)
class SweepChoice:
    """The best policy of a sweep.

    Attributes:
        run: Its run.
        policy: Its digest.
        setting: What its setting is, seeds left out.
        by: What it was chosen by: `gate`, or `benchmarks` where the gate gives no answer.
        score: The setting's mean score by that.
        num_seeds: Runs of the setting that the mean is over.
        next_setting: The second best setting; empty: there is no other.
        difference: How the best differs from the second best, question by question; None: they
            have no question in common, or there is no other.
        reason: All of it in words.
    """

    run: str
    policy: str
    setting: str
    by: str
    score: float
    num_seeds: int
    next_setting: str
    difference: Comparison | None
    reason: str


def choose(
    rows: Sequence[SweepRow], answers: SweepAnswers, confidence: float
) -> SweepChoice | None:
    """Chooses the best policy; None where no run was measured.

    Args:
        rows: All rows of the sweep.
        answers: What their policies answered.
        confidence: Confidence level of the difference's interval.
    """
    finished = [row for row in rows if row.is_finished and row.policy]
    shared, why_not = _shared_gate(finished, answers)
    if not why_not:
        by = "gate"
        scores = {
            row.run: fmean(answers.gate[row.run][question] for question in shared[row.seed])
            for row in finished
        }
    else:
        by = "benchmarks"
        scores = {row.run: row.average for row in finished if row.average is not None}
    settings: dict[str, list[SweepRow]] = {}
    for row in finished:
        if row.run in scores:
            settings.setdefault(row.setting, []).append(row)
    if not settings:
        return None
    means = {name: fmean(scores[row.run] for row in group) for name, group in settings.items()}
    # Python's sort keeps the order of equals: the first in the sweep wins a tie.
    best, *others = sorted(means, key=lambda name: -means[name])
    chosen = max(settings[best], key=lambda row: scores[row.run])
    difference = None
    if others:
        sides = [settings[others[0]], settings[best]]
        difference = _difference(answers, by, sides, confidence)
    return SweepChoice(
        run=chosen.run,
        policy=chosen.policy,
        setting=best,
        by=by,
        score=means[best],
        num_seeds=len(settings[best]),
        next_setting=others[0] if others else "",
        difference=difference,
        reason=_reason(means, len(settings[best]), difference, confidence, why_not),
    )


def _shared_gate(
    rows: Sequence[SweepRow], answers: SweepAnswers
) -> tuple[Mapping[int, set[str]], str]:
    """The gate's questions that all runs of a seed were asked, or why the gate cannot choose.

    Another seed draws other questions: across seeds there need be none in common.
    """
    shared: dict[int, set[str]] = {}
    for row in rows:
        asked = set(answers.gate.get(row.run, ()))
        if not asked:
            return {}, f"the gate did not ask the last policy of {row.run}"
        shared[row.seed] = shared.get(row.seed, asked) & asked
        if not shared[row.seed]:
            return {}, "the runs were asked different questions by the gate"
    return shared, ""


def _difference(
    answers: SweepAnswers, by: str, sides: Sequence[Sequence[SweepRow]], confidence: float
) -> Comparison | None:
    if by == "gate":
        scored = [[{"gate": answers.gate[row.run]} for row in side] for side in sides]
    else:
        scored = [[dict(answers.benchmarks[row.run]) for row in side] for side in sides]
    found = compare(*scored, confidence=confidence)
    return found.get(AVERAGE) or next(iter(found.values()), None)


def _reason(
    means: Mapping[str, float],
    num_seeds: int,
    difference: Comparison | None,
    confidence: float,
    why_not: str,
) -> str:
    best, *others = sorted(means, key=lambda name: -means[name])
    by = "the gate's questions" if not why_not else "the average of the reported benchmarks"
    text = f"{means[best]:.1%} on {by}"
    if num_seeds > 1:
        text += f", mean of {num_seeds} seeds"
    if others:
        text += f"; next is {others[0]} with {means[others[0]]:.1%}"
        if difference is not None:
            low, high = 100 * difference.ci_low, 100 * difference.ci_high
            text += f" ({confidence:.0%} interval of the difference {low:+.1f} to {high:+.1f}"
            text += ")" if difference.significant else ", which chance may explain)"
        elif means[best] == means[others[0]]:
            text += ", a tie that the order decides"
    if why_not:
        text += f". Chosen so because {why_not}; its own scores flatter it"
    return f"{text}."
