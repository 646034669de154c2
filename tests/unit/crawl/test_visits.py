"""A visit as a row of a file: nothing of it is lost, and another form is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.construction.crawl.visits import FoundLink, Reason, Visit, row_of, visit_of

links = st.builds(
    FoundLink,
    st.text(),
    st.text(),
    st.text(),
    st.sampled_from(["text", "list", "related", "menu", "footer"]),
    st.sampled_from(Reason),
)
visits = st.builds(
    Visit,
    st.text(),
    st.integers(0, 9),
    st.sampled_from(Reason),
    text=st.text(),
    sketch=st.binary(),
    score=st.floats(0, 1),
    links=st.lists(links, max_size=3).map(tuple),
)


@given(visits)
def test_a_visit_comes_back_from_its_row(visit):
    assert visit_of(json.loads(json.dumps(row_of(visit)))) == visit


@pytest.mark.parametrize(
    "row",
    [{"url": "u"}]
    + [
        {**row_of(Visit("u", 0, Reason.KEPT)), **damage}
        for damage in ({"reason": "moved"}, {"sketch": "xyz"}, {"links": [{}]}, {"colour": 1})
    ],
)
def test_a_row_of_another_form_is_refused(row):
    with pytest.raises(ValueError, match="a visit of another form"):
        visit_of(row)
