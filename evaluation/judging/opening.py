"""Opens the judge that a configuration names."""

from __future__ import annotations

from evaluation.judging.config import JudgeConfig
from evaluation.judging.marks import Judge, VerdictCache
from evaluation.judging.rules import RulesJudge


def open_judge(
    config: JudgeConfig, cache: VerdictCache | None = None, section: str = "benchmark.judge"
) -> Judge:
    """Opens a judge; the caller closes it.

    Args:
        config: Which judge.
        cache: Where its verdicts are kept and found again; None keeps them while it is open.
        section: Name of `config` in the configuration, for errors.

    Raises:
        UsageError: The environment has no key.
    """
    if config.kind == "rules":
        return RulesJudge()
    from evaluation.judging.api import ApiJudge

    return ApiJudge(config, cache, section)
