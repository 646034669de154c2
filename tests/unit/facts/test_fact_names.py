"""Names fold the same however they are written, and addresses are plain ASCII."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.web.facts.names import fold, page_name, page_title, page_url, strip_accents


@pytest.mark.parametrize(
    ("one", "other"),
    [("São Tomé", "sao tome"), ("Saint John’s", "saint john's"), ("Łódź", "LODZ"), ("A  B", "a-b")],
)
def test_spellings_of_one_name_fold_to_the_same(one, other):
    assert fold(one) == fold(other)


def test_different_names_stay_different():
    assert fold("Niger") != fold("Nigeria")


@given(st.text())
def test_folding_twice_changes_nothing(text):
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_addresses_need_no_further_escaping(text):
    url = page_url(page_title(text, "city")).removeprefix("http://wiki.local/")
    assert url.isascii()
    assert not set(url) & set(' "<>\\^`{|}/?#')


def test_a_title_gives_its_name_back():
    assert page_name(page_title("Lyon (Rhône)", "city")) == "Lyon (Rhône)"


def test_other_scripts_are_kept():
    assert strip_accents("北京") == "北京"
