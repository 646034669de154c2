"""The frontier against a plain model of it; traps by shape and by number; which link first."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.construction.crawl.config import CrawlConfig
from training.construction.crawl.frontier import Frontier
from training.construction.crawl.scope import Scope
from training.construction.crawl.scoring import anchor_score, joined_score, link_score
from training.construction.crawl.traps import is_dated, repeats, shape_problem
from training.construction.crawl.turns import Turns
from training.construction.crawl.visits import Reason, Visit

ROOT = "http://example.com/"


def open_frontier(**changes):
    config = CrawlConfig.model_validate({"scope": "domain", **changes})
    return Frontier(config, Scope([ROOT], config.scope))


@pytest.fixture
def frontier():
    opened = open_frontier()
    yield opened
    opened.close()


ADMISSIONS = st.tuples(
    st.sampled_from(["a", "b", "c", "d", "e"]),
    st.sampled_from(["example.com", "x.example.com", "other.com"]),
    st.integers(0, 4),
    st.floats(0, 1, allow_nan=False),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(ADMISSIONS, st.just("take")), max_size=40))
def test_it_does_what_a_plain_model_does(steps):
    frontier = open_frontier(max_depth=2)
    queue: dict[str, float] = {}
    order: dict[str, int] = {}
    done: set[str] = set()
    for step in steps:
        if step == "take":
            best = min(queue, key=lambda url: (-queue[url], order[url]), default=None)
            taken = frontier.take()
            assert (taken and taken.url) == best
            if best is not None:
                assert taken.score == pytest.approx(queue.pop(best))
                done.add(best)
            continue
        name, host, depth, score = step
        url = f"http://{host}/{name}"
        reason = frontier.admit(url, depth, score)
        order.setdefault(url, len(order))
        if host == "other.com":
            assert reason == Reason.OFF_SITE
        elif url in done:
            assert reason == Reason.QUEUED
        elif url in queue:
            queue[url] = joined_score(queue[url], score)
        elif depth > 2:
            assert reason == Reason.TOO_DEEP
        else:
            assert reason == Reason.QUEUED
            queue[url] = score
    assert frontier.num_queued() == len(queue) + len(done)
    assert sum(frontier.counts().values()) == len(order)
    frontier.close()


def test_a_page_too_far_away_is_queued_once_a_shorter_way_is_known():
    frontier = open_frontier(max_depth=2)
    assert frontier.admit(f"{ROOT}a", 3) == Reason.TOO_DEEP
    assert frontier.take() is None
    assert frontier.admit(f"{ROOT}a", 2) == Reason.QUEUED
    assert frontier.take().depth == 2
    frontier.close()


def test_hosts_whose_turn_it_is_not_are_passed_over(frontier):
    frontier.admit("http://x.example.com/", 0, 0.9)
    frontier.admit("http://y.example.com/", 0, 0.5)
    assert frontier.take(["x.example.com"]).url == "http://y.example.com/"
    assert frontier.take(["x.example.com"]) is None
    assert frontier.take().url == "http://x.example.com/"
    frontier.put_back("http://x.example.com/")
    assert frontier.take().url == "http://x.example.com/"


def test_redirects_and_duplicates_stand_for_each_other(frontier):
    for name, leads_to, reason in [
        ("a", "b", Reason.REDIRECT),
        ("b", "c", Reason.NEAR_DUPLICATE),
        ("c", "", Reason.KEPT),
    ]:
        frontier.finish(Visit(ROOT + name, 1, reason, leads_to=ROOT + leads_to))
    assert frontier.meant_by(f"{ROOT}a") == f"{ROOT}c"
    assert frontier.meant_by(f"{ROOT}unknown") == f"{ROOT}unknown"
    assert frontier.counts() == {Reason.REDIRECT: 1, Reason.NEAR_DUPLICATE: 1, Reason.KEPT: 1}


def test_it_learns_which_folders_are_worth_a_visit(frontier):
    for number in range(6):
        kept = Reason.KEPT if number % 2 else Reason.NO_TEXT
        frontier.finish(Visit(f"{ROOT}shop/{number}", 1, kept))
    assert frontier.kept_share(f"{ROOT}shop/99") == pytest.approx(5 / 8)
    assert frontier.kept_share(f"{ROOT}else/1") == 1.0


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("a/b/c", None),
        ("a/a/a", Reason.LOOPING_PATH),
        ("x/a/b/a/b/a/b", Reason.LOOPING_PATH),
        ("a/1/a/2/a/3/a", Reason.LOOPING_PATH),
        ("a/b/a/b", None),
        ("/".join("abcdefghijklmnopq"), Reason.TOO_LONG),
        ("a" * 800, Reason.TOO_LONG),
        ("p?" + "&".join(f"{c}=1" for c in "abcdefghijklm"), Reason.TOO_LONG),
        ("photo.JPG", Reason.NOT_HTML),
        ("archive.tar.gz", Reason.NOT_HTML),
        ("paper.pdf", None),
        ("Node.js_(runtime)", None),
        ("2024/05/01", None),
    ],
)
def test_shapes_of_traps(path, problem):
    assert shape_problem(ROOT + path) == problem


@given(st.lists(st.sampled_from("abcdefgh"), max_size=12, unique=True), st.integers(3, 4))
def test_any_path_that_repeats_three_times_is_noticed(segments, times):
    assert not repeats(segments)
    if segments[:3]:
        assert repeats(segments + segments[:3] * times)


@pytest.mark.parametrize(
    ("url", "dated"),
    [
        ("events/2024/05", True),
        ("events/2024-05-31/", True),
        ("e?date=20240531", True),
        ("e?month=5&year=2024", True),
        ("e?x=2024-05-31", True),
        ("2024/05/31/a-story", False),
        ("wiki/1950", False),
        ("wiki/2001:_A_Space_Odyssey", False),
        ("e?from=home", False),
    ],
)
def test_dates(url, dated):
    assert is_dated(ROOT + url) is dated


def test_endless_spaces_are_cut_off_by_number():
    frontier = open_frontier(max_dates=3, max_queries_per_path=4, max_per_template=5)
    counted = {
        Reason.CALENDAR: [f"{ROOT}c/20{year}/01" for year in range(20, 30)],
        Reason.ENDLESS_QUERY: [f"{ROOT}s?q={c}" for c in "abcdefghij"],
        Reason.SAME_TEMPLATE: [f"{ROOT}item/{number}" for number in range(10)],
    }
    for (reason, urls), most in zip(counted.items(), (3, 4, 5), strict=True):
        assert [frontier.admit(url, 1) for url in urls] == [Reason.QUEUED] * most + [reason] * (
            10 - most
        )
        # Asked again, an address gets the same answer and is not counted twice.
        assert frontier.admit(urls[0], 1) == Reason.QUEUED
        assert frontier.admit(urls[9], 1) == reason
    assert frontier.counts()[Reason.SAME_TEMPLATE] == 5
    frontier.close()


def score(**changes):
    link = {
        "target": f"{ROOT}wiki/Lyon",
        "source": f"{ROOT}wiki/France",
        "anchor": "city of Lyon",
        "context": "The city of Lyon lies on two rivers.",
        "place": "text",
        "position": 3,
        "depth": 1,
        "kept": 1.0,
    }
    return link_score(**{**link, **changes})


def test_better_links_have_higher_scores():
    places = [score(place=p) for p in ("text", "list", "related", "menu", "footer")]
    assert places == sorted(places, reverse=True)
    assert len(set(places)) == 5
    assert score() > score(anchor="read more") == score(anchor="17") == score(anchor="")
    assert score() > score(position=60)
    assert score() > score(depth=5)
    assert score() > score(kept=0.2)
    assert score() > score(target=f"{ROOT}Special/Lyon")
    assert score(focus=["rivers"]) > score(focus=["mountains"])
    assert anchor_score("Lyon") < anchor_score("Lyon in France")


@given(
    st.text(max_size=30),
    st.sampled_from(["text", "list", "related", "menu", "footer"]),
    st.integers(0, 5000),
    st.integers(0, 100),
    st.floats(0, 1),
    st.lists(st.text(min_size=1, max_size=4), max_size=3),
    st.floats(0, 1),
)
def test_scores_stay_between_0_and_1(anchor, place, position, depth, kept, focus, other):
    found = score(
        anchor=anchor, place=place, position=position, depth=depth, kept=kept, focus=focus
    )
    assert 0 <= found <= 1
    assert max(found, other) <= joined_score(found, other) <= 1


def test_turns_of_hosts():
    now = [0.0]
    turns = Turns(2, lambda: now[0])
    turns.begin("a")
    # How fast it may be visited is not known yet.
    assert turns.blocked() == ["a"]
    assert turns.wait_s() is None
    turns.keep_distance("a", 0.0)
    assert turns.blocked() == []
    turns.begin("a")
    assert turns.blocked() == ["a"]
    turns.end("a", answered=True)
    assert turns.blocked() == []
    turns.begin("b")
    turns.keep_distance("b", 5.0)
    turns.end("b", answered=True)
    assert turns.blocked() == ["b"]
    assert turns.wait_s() == 5.0
    now[0] = 5.0
    assert turns.blocked() == []
    turns.begin("b")
    assert turns.blocked() == ["b"]


def test_a_host_that_keeps_failing_is_given_up():
    now = [0.0]
    turns = Turns(2, lambda: now[0])

    def fail():
        turns.begin("a")
        turns.keep_distance("a", 0.0)
        turns.rest("a", 10.0)
        turns.end("a", answered=False)

    for _ in range(3):
        now[0] += 10.0
        assert turns.blocked() == []
        fail()
        # Visits that were under way notice the same rest.
        fail()
        assert turns.wait_s() == 10.0
    now[0] += 10.0
    turns.begin("a")
    turns.end("a", answered=True)
    for _ in range(4):
        fail()
        now[0] += 10.0
    assert turns.blocked() == ["a"]
    assert turns.wait_s() is None
