"""Search terms and sentences: the same word gives the same term wherever it stands."""

from hypothesis import given
from hypothesis import strategies as st

from agents.web.analysis import base_title, split_sentences, terms


def test_case_accents_plurals_and_function_words_do_not_matter():
    assert terms("The Countries of Zürich") == terms("country zurich") == ["country", "zurich"]
    assert terms("Tromsø") == terms("Tromso")
    assert terms("Zu\u0308rich") == terms("Zürich")
    assert terms("France's capital") == ["france", "capital"]


def test_numbers_are_one_term_and_domains_keep_theirs():
    assert terms("520,774") == ["520774"] == terms("520774")
    assert terms(".fr") == ["fr"]


def test_names_of_function_words_alone_are_kept():
    assert terms("The Who") == ["the", "who"]
    assert terms("") == []


def test_names_that_look_like_plurals_stay_apart():
    assert terms("Paris Texas Bus Cyprus glass")[:1] == ["paris"]
    assert len(set(terms("Laos Las Lass"))) == 3


@given(st.text())
def test_any_text_has_terms_that_are_terms_themselves(text):
    for term in terms(text):
        assert term
        assert not any(letter.isspace() for letter in term)


@given(st.text())
def test_no_letter_is_lost_when_sentences_are_split(text):
    joined = "".join("".join(split_sentences(text)).split())
    assert joined == "".join(text.split())


def test_sentences_end_where_they_end():
    text = 'He met J. R. Smith of St. Louis Inc. in 1903. "Why?" she asked. It cost approx. 3.5 km.'
    assert split_sentences(text) == [
        "He met J. R. Smith of St. Louis Inc. in 1903.",
        '"Why?" she asked.',
        "It cost approx. 3.5 km.",
    ]
    assert split_sentences("One.\nTwo") == ["One.", "Two"]


def test_the_base_title_leaves_out_the_qualifier():
    assert base_title("Lyon (city)") == "Lyon"
    assert base_title("Lyon") == "Lyon"
    assert base_title("(city)") == "(city)"
