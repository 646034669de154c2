"""The funnel as a whole: every check in its order, one verdict a conversation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evaluation.judging.marks import Judge
from training.construction.formats.conversation import Conversation
from training.construction.funnel.config import FunnelConfig
from training.construction.funnel.correctness import check_answers
from training.construction.funnel.goal import check_goal
from training.construction.funnel.grounding import check_grounding
from training.construction.funnel.logic import check_logic
from training.construction.funnel.quality_judge import Doubt, QualityJudge
from training.construction.funnel.redundancy import check_redundancy
from training.construction.funnel.repetition import check_repetition
from training.construction.funnel.validity import check_form
from training.construction.funnel.verdicts import Check, Finding, FunnelVerdict, Outcome, Stage

Findings = dict[Check, Finding]
OneCheck = Callable[[Conversation, FunnelConfig], Finding]

_CHECKS: dict[Check, OneCheck] = {
    Check.FORM: check_form,
    Check.REPETITION: check_repetition,
    Check.REDUNDANCY: check_redundancy,
    Check.GOAL: lambda conversation, config: check_goal(conversation),
    Check.GROUNDING: check_grounding,
    Check.LOGIC: lambda conversation, config: check_logic(conversation),
}
_JUDGED = (Check.GOAL, Check.GROUNDING, Check.LOGIC)


def run_funnel(
    conversations: Sequence[Conversation],
    config: FunnelConfig,
    judge: Judge | None = None,
    quality_judge: QualityJudge | None = None,
) -> list[FunnelVerdict]:
    """Judges conversations, the cheap checks first; what fell is not looked at any further.

    Args:
        conversations: The conversations.
        config: Thresholds and what becomes of unclear ones.
        judge: Asked about answers that rules cannot judge; None leaves them unclear.
        quality_judge: Asked where the rules of quality cannot tell; None leaves that unclear.

    Returns:
        A verdict a conversation, in their order.

    Raises:
        BudgetError: A judge's budget is spent.
    """
    found = find_all(conversations, config, judge, quality_judge, every_check=False)
    return [
        verdict_of(conversation, findings, config)
        for conversation, findings in zip(conversations, found, strict=True)
    ]


def find_all(
    conversations: Sequence[Conversation],
    config: FunnelConfig,
    judge: Judge | None = None,
    quality_judge: QualityJudge | None = None,
    *,
    every_check: bool,
) -> list[Findings]:
    """Makes the checks.

    Args:
        conversations: The conversations.
        config: Thresholds.
        judge: As for `run_funnel`.
        quality_judge: As for `run_funnel`.
        every_check: Whether to go on where a conversation fell, as an ablation needs it; judges
            are then asked about more.

    Raises:
        BudgetError: A judge's budget is spent.
    """
    found: list[Findings] = [{} for _ in conversations]
    for check in Check:
        if check in config.without:
            continue
        left = [
            place
            for place, findings in enumerate(found)
            if every_check or fallen(findings, config) is None
        ]
        chosen = [conversations[place] for place in left]
        if check is Check.ANSWER:
            made = check_answers(chosen, config, judge)
        else:
            made = [_CHECKS[check](each, config) for each in chosen]
        if check in _JUDGED and quality_judge is not None:
            made = _decided(chosen, made, quality_judge)
        for place, finding in zip(left, made, strict=True):
            found[place][check] = finding
    return found


def fallen(findings: Findings, config: FunnelConfig, without: Sequence[Check] = ()) -> Check | None:
    """The first check that a conversation falls at; None where it is kept.

    Args:
        findings: What its checks found.
        config: What becomes of unclear ones.
        without: Checks that are passed over.
    """
    for check, finding in findings.items():
        if check in without:
            continue
        when = config.unclear_answer if check is Check.ANSWER else config.unclear_quality
        drops = finding.outcome is Outcome.FAIL
        if drops or (finding.outcome is Outcome.UNCLEAR and when == "drop"):
            return check
    return None


def verdict_of(
    conversation: Conversation, findings: Findings, config: FunnelConfig
) -> FunnelVerdict:
    """What its findings come to."""
    at = fallen(findings, config)
    return FunnelVerdict(
        conversation_id=conversation.conversation_id,
        question_id=conversation.question_id,
        kept=at is None,
        fell_at=at,
        reason=findings[at].reason if at else None,
        unclear=tuple(check for check, each in findings.items() if each.outcome is Outcome.UNCLEAR),
        findings=tuple(findings.values()),
    )


def checks_of(stage: Stage) -> tuple[Check, ...]:
    """The checks of a stage."""
    return tuple(check for check in Check if check.stage is stage)


def _decided(
    conversations: Sequence[Conversation], findings: Sequence[Finding], judge: QualityJudge
) -> list[Finding]:
    doubts = {
        place: Doubt(conversations[place], finding)
        for place, finding in enumerate(findings)
        if finding.outcome is Outcome.UNCLEAR
    }
    said = dict(zip(doubts, judge.decide(list(doubts.values())), strict=True)) if doubts else {}
    return [said.get(place, finding) for place, finding in enumerate(findings)]
