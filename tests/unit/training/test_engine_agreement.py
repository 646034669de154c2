"""Formulas of what is measured between engine and trainer, and where the overlong buffer fits."""

from __future__ import annotations

import math

import pytest
import torch

from tasks.config import StageConfig
from training.objective import EngineAgreement, agreement_figures


def test_formula_of_ratio_effective_sample_size_and_kl_over_micro_batches() -> None:
    """ratio_mean, ratio_ess, engine_kl (k3) and logprob_gap, whatever the split."""
    trainer = [-1.0, -2.0, -0.5, -3.0]
    engine = [-1.2, -1.9, -0.5, -4.0]
    ratios = [math.exp(t - e) for t, e in zip(trainer, engine, strict=True)]
    expected = {
        "ratio_mean": sum(ratios) / 4,
        "ratio_ess": sum(ratios) ** 2 / (4 * sum(r * r for r in ratios)),
        "engine_kl": sum(r - 1 - math.log(r) for r in ratios) / 4,
        "logprob_gap": (0.2 + 0.1 + 0.0 + 1.0) / 4,
    }
    for split in ([4], [1, 3], [2, 1, 1]):
        agreement = EngineAgreement()
        assert agreement_figures(agreement.sums) == {}
        parts = zip(
            torch.tensor(trainer).split(split), torch.tensor(engine).split(split), strict=True
        )
        for ours, theirs in parts:
            agreement.add(ours, theirs)
        assert agreement_figures(agreement.sums) == pytest.approx(expected, rel=1e-5)


def test_equal_probabilities_agree_wholly() -> None:
    agreement = EngineAgreement()
    agreement.add(torch.tensor([-1.0, -7.0]), torch.tensor([-1.0, -7.0]))
    assert agreement_figures(agreement.sums) == {
        "ratio_mean": 1.0, "ratio_ess": 1.0, "engine_kl": 0.0, "logprob_gap": 0.0,
    }  # fmt: skip


def test_a_buffer_as_long_as_the_context_is_refused() -> None:
    with pytest.raises(ValueError, match="every rollout would be punished"):
        StageConfig.model_validate({"rl": {"overlong_buffer_tokens": 10**6}})
