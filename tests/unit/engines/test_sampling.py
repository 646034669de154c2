"""Sampling by inversion draws what the distribution says, row by row."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.engines.base import SamplingParams
from agents.engines.sampling import random_stream, sample


def params(temperature: float, top_p: float = 1.0) -> SamplingParams:
    return SamplingParams(temperature, top_p, 1, 0, ())


def test_frequencies_follow_the_tempered_distribution() -> None:
    """10,000 evenly spread points hit each word in proportion, over more than one block."""
    torch.manual_seed(0)
    logits = torch.randn(1, 600) * 2
    count = 10_000
    points = [(i + 0.5) / count for i in range(count)]
    ids, logprobs = sample(logits.expand(count, -1), [params(0.7)] * count, points)
    expected = (logits[0].double() / 0.7).softmax(-1)
    found = torch.bincount(torch.tensor(ids), minlength=600) / count
    torch.testing.assert_close(found, expected, atol=2 / count, rtol=0, check_dtype=False)
    torch.testing.assert_close(
        torch.tensor(logprobs), expected.log()[ids], atol=1e-5, rtol=0, check_dtype=False
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_does_not_depend_on_the_others(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    logits = torch.randn(6, 500).to(dtype)
    sampling = [params(t, p) for t, p in [(0, 1), (1, 1), (0.5, 0.9), (2, 0.5), (0, 0.5), (1, 1)]]
    points = [0.1, 0.2, 0.99, 0.5, 0.7, 0.3]
    together = sample(logits, sampling, points)
    for row in range(6):
        alone = sample(logits[row : row + 1], sampling[row : row + 1], points[row : row + 1])
        assert (alone[0][0], alone[1][0]) == (together[0][row], together[1][row])
    assert together[0][0] == int(logits[0].argmax())
    assert together[1][0] == pytest.approx(logits[0].float().log_softmax(-1).max().item(), abs=1e-5)


def test_nucleus_keeps_the_smallest_set_that_reaches_its_mass() -> None:
    """With masses 0.5, 0.3, 0.15, 0.05 and top-p 0.75 only the first two words are drawn."""
    logits = torch.tensor([[0.05, 0.5, 0.15, 0.3]]).log()
    count = 800
    points = [(i + 0.5) / count for i in range(count)]
    ids, logprobs = sample(logits.expand(count, -1), [params(1.0, 0.75)] * count, points)
    assert (ids.count(1), ids.count(3)) == (500, 300)
    assert logprobs[ids.index(3)] == pytest.approx(math.log(0.3), abs=1e-6)


@settings(max_examples=200, deadline=None)
@example(size=137, seed=1, spread=30.0, top_p=1.0, point=0.0)
@given(
    size=st.integers(1, 700),
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0.0, 1.0, 30.0, 500.0]),
    top_p=st.sampled_from([0.01, 0.9, 1.0]),
    point=st.one_of(st.floats(0, 1, exclude_max=True), st.just(math.nextafter(1, 0))),
)
def test_every_point_draws_a_possible_word(
    size: int, seed: int, spread: float, top_p: float, point: float
) -> None:
    """Never an id outside the vocabulary, never a word without mass."""
    logits = torch.randn(1, size, generator=torch.Generator().manual_seed(seed)) * spread
    logits[0, seed % size] += 1.0
    if size > 1:
        logits[0, (seed + 1) % size] = float("-inf")
    (token_id,), (logprob,) = sample(logits, [params(1.0, top_p)], [point])
    assert 0 <= token_id < size
    assert math.isfinite(logprob)
    expected = logits[0].double().log_softmax(-1)[token_id].item()
    assert logprob == pytest.approx(expected, abs=1e-3)


def test_streams_repeat_and_differ() -> None:
    assert random_stream(5).random() == random_stream(5).random() != random_stream(6).random()
