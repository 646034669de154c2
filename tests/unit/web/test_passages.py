"""The passage that answers, short and in the page's order."""

from agents.web.pages import Page
from agents.web.passages import best_passage

PAGE = Page(
    "http://wiki.local/X",
    "X",
    "article",
    "X is a town.\nIt has a bridge of stone.\nThe mayor of X is Ann.\n\nIts river is the Y.",
)


def test_the_sentence_that_answers_is_chosen():
    assert best_passage(PAGE, "X mayor", 30) == "The mayor of X is Ann."
    assert best_passage(PAGE, "stone", 30) == "It has a bridge of stone."


def test_a_second_sentence_comes_for_what_the_first_lacks():
    assert best_passage(PAGE, "river mayor X", 30) == "The mayor of X is Ann. Its river is the Y."
    assert best_passage(PAGE, "river mayor X", 7) == "The mayor of X is Ann."


def test_without_a_match_the_beginning_is_given():
    assert best_passage(PAGE, "X", 30) == "X is a town."
    assert best_passage(PAGE, "zebra", 30) == "X is a town."


def test_a_long_sentence_is_cut_around_the_match():
    text = " ".join([f"w{number}" for number in range(100)] + ["needle"] + ["end"] * 50)
    page = Page("http://wiki.local/L", "L", "article", text)
    cut = best_passage(page, "needle", 10)
    assert "needle" in cut
    assert cut.startswith("…")
    assert cut.endswith("…")
    assert len([word for word in cut.split() if word != "…"]) == 10


def test_an_empty_page_has_no_passage():
    assert best_passage(Page("http://wiki.local/E", "E", "page", ""), "x", 10) == ""


def test_hints_answer_to_words_that_the_sentence_lacks():
    page = Page(
        "http://wiki.local/Z",
        "Z",
        "city",
        "Z is a city in A.\nThe population of Z is 5.",
        hints=("country nation", "people inhabitants"),
    )
    assert best_passage(page, "how many people live in Z", 30) == "The population of Z is 5."
    assert best_passage(page, "nation of Z", 30) == "Z is a city in A."
