"""The terms of pages come back from disk as they were taken from the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import AssetError
from agents.web.pages import Page
from agents.web.passages import analyse, best_passage, lines_of
from agents.web.ranking_store import RankedPage, RankingStore, _packed, _unpacked, write_ranking

PAGE = Page(
    "http://wiki.local/Lyon_(city)",
    "Lyon (city)",
    "city",
    "Lyon is a city in France.\n\nIts river is the Rhône.",
    names=("Lugdunum",),
    hints=("nation", "", ""),
)


@pytest.mark.parametrize(
    "page",
    [
        PAGE,
        Page("u", "T", "page", "One line."),
        Page("u", "T", "page", ""),
        Page("u", "?!", "page", "?!\n…\nwords at the end"),
    ],
)
def test_terms_come_back(page):
    assert _unpacked(_packed(analyse(page))) == analyse(page)


@given(st.text(max_size=80), st.text(max_size=20), st.text(max_size=30))
def test_a_passage_is_the_same_from_disk(text, title, query):
    page = Page("u", title, "page", text)
    stored = _unpacked(_packed(analyse(page)))
    assert len(stored.line_terms) in (len(lines_of(page)), 0)
    assert best_passage(page, query, 9, analysed=stored) == best_passage(page, query, 9)


def test_pages_are_read_by_number(tmp_path):
    pages = [RankedPage(n, f"u{n}", "page", n / 10, analyse(PAGE)) for n in range(5)]
    write_ranking(tmp_path / "ranking.sqlite", iter(pages))
    store = RankingStore(tmp_path / "ranking.sqlite")
    found = store.pages([3, 1, 99])
    assert sorted(found, key=lambda page: page.number) == [pages[1], pages[3]]
    assert store.pages([]) == []


def test_a_file_that_is_missing_or_something_else_is_named(tmp_path):
    with pytest.raises(AssetError, match=r"ranking\.sqlite cannot be read"):
        RankingStore(tmp_path / "ranking.sqlite")
    (tmp_path / "ranking.sqlite").write_text("something else")
    with pytest.raises(AssetError, match=r"ranking\.sqlite cannot be read"):
        RankingStore(tmp_path / "ranking.sqlite")
