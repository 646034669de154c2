"""The ablation of the funnel: which trajectories each variant keeps.

WebDancer's ablation trains on unfiltered trajectories and on what the funnel leaves. Here each
stage and each check can be missing, too. Every check is made once, so that all variants speak of
the same findings.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from agents.randomness import derive_seed
from evaluation.judging.marks import Judge
from training.construction.formats.conversation import Conversation
from training.construction.funnel.config import FunnelConfig
from training.construction.funnel.quality_judge import QualityJudge
from training.construction.funnel.run import checks_of, fallen, find_all
from training.construction.funnel.verdicts import Check, Stage

UNFILTERED, FULL = "unfiltered", "full"


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant of the funnel.

    Attributes:
        name: `unfiltered`, `full`, `without STAGE` or `without CHECK`.
        without: Checks that it leaves out.
        kept: Places of the conversations that it keeps, in their order.
    """

    name: str
    without: tuple[Check, ...]
    kept: tuple[int, ...]


def ablate(
    conversations: Sequence[Conversation],
    config: FunnelConfig,
    judge: Judge | None = None,
    quality_judge: QualityJudge | None = None,
) -> list[Variant]:
    """Runs the funnel in all its variants.

    Args:
        conversations: The conversations.
        config: The funnel; what it leaves out, every variant does.
        judge: As for `run_funnel`; it is asked about every answer that rules cannot judge.
        quality_judge: As for `run_funnel`, asked likewise.

    Returns:
        Unfiltered, full, one stage off at a time, one check off at a time.

    Raises:
        BudgetError: A judge's budget is spent.
    """
    found = find_all(conversations, config, judge, quality_judge, every_check=True)
    made = tuple(check for check in Check if check not in config.without)
    variants: dict[str, tuple[Check, ...]] = {UNFILTERED: made, FULL: ()}
    variants |= {f"without {stage}": checks_of(stage) for stage in Stage}
    variants |= {f"without {check}": (check,) for check in made if check.stage is Stage.QUALITY}
    return [
        Variant(
            name,
            without,
            tuple(
                place
                for place, findings in enumerate(found)
                if fallen(findings, config, without) is None
            ),
        )
        for name, without in variants.items()
    ]


def same_number(variants: Sequence[Variant], seed: int) -> dict[str, tuple[int, ...]]:
    """As many of each variant as the smallest one has, drawn at random: quality, not quantity.

    Args:
        variants: The variants; empty ones are left out.
        seed: Seed of the draw.
    """
    some = [variant for variant in variants if variant.kept]
    number = min((len(variant.kept) for variant in some), default=0)
    return {
        each.name: tuple(
            sorted(random.Random(derive_seed(seed, each.name)).sample(each.kept, number))
        )
        for each in some
    }
