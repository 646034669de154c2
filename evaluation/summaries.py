"""What a policy's answers to one set of questions come to: means, intervals, pass@k, cost.

The unit is the question. A question that was asked several times counts once, with the mean of its
attempts; rollouts that an infrastructure fault ended are no answers, and answers that the judge
failed on are no judgements: both are counted and left out of the means that they say nothing about.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from evaluation.statistics import mean_interval


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """One answer with its scores and what it took.

    Attributes:
        question_id: The question.
        em: Exact match, 0 or 1.
        f1: Token F1, 0 to 1.
        accuracy: Rule-based accuracy, 0 or 1.
        correct: The configured judge's mark, 0 or 1; None where it failed.
        family: The question's family or type; empty where unknown.
        num_hops: Facts to be found; 0 where unknown.
        num_tool_calls: Tool calls executed.
        num_tokens: Tokens of the conversation.
        seconds: Seconds from start to end, waits for other rollouts included.
        cost: Paid to the policy's and the page reader's API, in their currency.
    """

    question_id: str
    em: float
    f1: float
    accuracy: float
    correct: float | None
    family: str = ""
    num_hops: int = 0
    num_tool_calls: int = 0
    num_tokens: int = 0
    seconds: float = 0.0
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class BenchmarkScore:
    """Scores of one policy on one set of questions; fractions from 0 to 1.

    What older records lack is None.

    Attributes:
        num_questions: Questions of which at least one attempt was scored.
        em: Mean exact match.
        f1: Mean F1.
        accuracy: Mean rule-based accuracy.
        ci_low: Lower bound of accuracy's interval.
        ci_high: Upper bound of accuracy's interval.
        mbe: Mean of the judge's marks over the questions that it judged; None: none was.
        mbe_low: Lower bound of its interval.
        mbe_high: Upper bound of its interval.
        unjudged: Answers that the judge failed on.
        num_answers: Answers that were scored, all attempts counted.
        failed: Attempts that an infrastructure fault ended; they are not scored.
        k: Of how many attempts pass@k and cons@k speak.
        pass_at_k: Chance that at least one of k attempts is right by the judge (Chen et al., 2021,
            unbiased), over questions with at least k judged attempts; None: there is none.
        cons_at_k: Share of k attempts that are right (WebDancer's), over the same questions.
        tool_calls: Mean tool calls of an attempt.
        tokens: Mean tokens of an attempt's conversation.
        seconds: Mean seconds of an attempt.
        cost: Mean cost of an attempt.
    """

    num_questions: int
    em: float
    f1: float
    accuracy: float
    ci_low: float
    ci_high: float
    mbe: float | None = None
    mbe_low: float | None = None
    mbe_high: float | None = None
    unjudged: int | None = None
    num_answers: int | None = None
    failed: int | None = None
    k: int | None = None
    pass_at_k: float | None = None
    cons_at_k: float | None = None
    tool_calls: float | None = None
    tokens: float | None = None
    seconds: float | None = None
    cost: float | None = None


def headline(score: Mapping[str, Any]) -> float | None:
    """The score that tables show first: the judge's, or the rules' where it judged nothing.

    Args:
        score: A `BenchmarkScore` as a dictionary, which may lack what older ones do; empty: None.
    """
    mbe = score.get("mbe")
    return score.get("accuracy") if mbe is None else float(mbe)


def summarise(
    answers: Sequence[ScoredAnswer], *, confidence: float = 0.95, k: int = 1, failed: int = 0
) -> BenchmarkScore:
    """Means over the questions of one set.

    Without any answer every score is 0, and the interval is all of [0, 1].

    Args:
        answers: All scored attempts, in any order.
        confidence: Confidence level of the intervals.
        k: Of how many attempts pass@k and cons@k are to speak.
        failed: Attempts that are not among the answers, for reasons of the infrastructure.
    """
    attempts: dict[str, list[ScoredAnswer]] = defaultdict(list)
    for answer in answers:
        attempts[answer.question_id].append(answer)
    marks = [
        [answer.correct for answer in group if answer.correct is not None]
        for group in attempts.values()
    ]
    judged = [fmean(group) for group in marks if group]
    enough = [group for group in marks if len(group) >= k]

    def mean(value: Callable[[ScoredAnswer], float]) -> float:
        return _mean([fmean(map(value, group)) for group in attempts.values()])

    accuracies = [fmean(answer.accuracy for answer in group) for group in attempts.values()]
    ci_low, ci_high = mean_interval(accuracies, confidence=confidence)
    mbe_low, mbe_high = mean_interval(judged, confidence=confidence)
    return BenchmarkScore(
        num_questions=len(attempts),
        em=mean(lambda answer: answer.em),
        f1=mean(lambda answer: answer.f1),
        accuracy=_mean(accuracies),
        ci_low=ci_low,
        ci_high=ci_high,
        mbe=_mean(judged) if judged else None,
        mbe_low=mbe_low if judged else None,
        mbe_high=mbe_high if judged else None,
        unjudged=sum(answer.correct is None for answer in answers),
        num_answers=len(answers),
        failed=failed,
        k=k,
        pass_at_k=_mean([_pass_at_k(group, k) for group in enough]) if enough else None,
        cons_at_k=_mean([fmean(group) for group in enough]) if enough else None,
        tool_calls=mean(lambda answer: answer.num_tool_calls),
        tokens=mean(lambda answer: answer.num_tokens),
        seconds=mean(lambda answer: answer.seconds),
        cost=mean(lambda answer: answer.cost),
    )


def break_down(
    answers: Sequence[ScoredAnswer], *, confidence: float = 0.95, k: int = 1
) -> dict[str, dict[str, BenchmarkScore]]:
    """Scores of one benchmark's questions `by_hops` and `by_type`, where these are known.

    A way of parting that leaves all questions together says nothing and is left out.
    """
    ways: Mapping[str, Callable[[ScoredAnswer], str]] = {
        "by_hops": lambda answer: str(answer.num_hops) if answer.num_hops else "",
        "by_type": lambda answer: answer.family,
    }
    rows: dict[str, dict[str, BenchmarkScore]] = {}
    for way, name_of in ways.items():
        parts: dict[str, list[ScoredAnswer]] = defaultdict(list)
        for answer in answers:
            parts[name_of(answer) or "unknown"].append(answer)
        if len(parts) > 1:
            rows[way] = {
                name: summarise(parts[name], confidence=confidence, k=k) for name in sorted(parts)
            }
    return rows


def _pass_at_k(marks: Sequence[float], k: int) -> float:
    """Chance that k of these attempts, drawn without putting back, hold a right one."""
    num_wrong = sum(mark < 1.0 for mark in marks)
    return 1.0 - math.comb(num_wrong, k) / math.comb(len(marks), k)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
