"""Foreign services are asked no faster than they bear, and as late as they ask for."""

import pytest

from agents.pacing import RateLimit, backoff_s, retry_after_s


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("9" * 400, 999_999_999.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("soon", None),
        ("nan", None),
        ("-1", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(header, expected):
    assert retry_after_s(header) == expected


def test_waits_grow_up_to_a_limit_and_are_random():
    for attempt, longest in ((1, 0.5), (2, 1.0), (3, 2.0), (9, 8.0)):
        waits = {backoff_s(attempt, 0.5, 8.0) for _ in range(50)}
        assert longest / 2 <= min(waits) < max(waits) <= longest


async def test_calls_are_spread_evenly():
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    limit = RateLimit(2.0, sleep)
    for _ in range(3):
        await limit.wait()
    assert slept == pytest.approx([0.5, 1.0], abs=0.1)
    free = RateLimit(None, sleep)
    await free.wait()
    assert len(slept) == 2
