"""The page that a query means comes first, with the sentence that answers it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import AssetError
from agents.web.index import SearchIndex, build_index
from agents.web.page_store import PageStore, write_pages
from agents.web.pages import Page


@pytest.mark.parametrize(
    ("query", "title", "snippet"),
    [
        ("Lyon country", "Lyon (city)", "Lyon is a city in France."),
        ("In which country is Lyon?", "Lyon (city)", "Lyon is a city in France."),
        ("lyon population", "Lyon (city)", "The population of Lyon is 520,774."),
        ("France currency", "France (country)", "The currency of France is Euro."),
        ("money used in France", "France (country)", "The currency of France is Euro."),
        ("capital of France", "France (country)", "The capital of France is Paris."),
        ("internet domain .fr", "France (country)", "The internet domain of France is .fr."),
        ("Polonium discovery year", "Polonium (element)", "Polonium was discovered in 1898."),
        (
            "airport LYS",
            "Lyon Saint-Exupery Airport (airport)",
            "The IATA code of Lyon Saint-Exupery Airport is LYS.",
        ),
        (
            "Lyon Saint-Exupery Airport city",
            "Lyon Saint-Exupery Airport (airport)",
            "Lyon Saint-Exupery Airport is an airport serving the city of Lyon.",
        ),
        (
            "Lyon, United States population",
            "Lyon, United States (city)",
            "The population of Lyon, United States is 17,000.",
        ),
        ("Mona Lisa painter", "Mona Lisa", "The Mona Lisa was painted by Leonardo da Vinci."),
    ],
)
def test_the_right_page_comes_first_with_the_right_sentence(web, query, title, snippet):
    best = web.search(query, 3)[0]
    assert (best.title, best.snippet) == (title, snippet)
    assert web.page(best.url).title == title


def test_namesakes_come_by_prominence(web):
    titles = [hit.title for hit in web.search("Lyon population", 9)]
    assert titles.index("Lyon (city)") < titles.index("Lyon, United States (city)")


def test_the_number_of_results_is_kept_and_scores_fall(web):
    hits = web.search("city France", 4)
    assert len(hits) == 4
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    assert len({hit.url for hit in hits}) == 4


def test_pages_that_repeat_a_snippet_come_after_those_that_add_to_it(tmp_path):
    said = "The bridge of Lyon is old."
    texts = [f"{said}\nFirst copy.", f"{said}\nSecond copy.", "Lyon has a bridge too.", said]
    pages = [Page(f"u{n}", f"Page {n}", "page", text) for n, text in enumerate(texts)]
    write_pages(tmp_path / "pages.sqlite", pages)
    build_index(tmp_path, pages)
    index = SearchIndex(tmp_path, PageStore(tmp_path / "pages.sqlite"), 30)
    hits = index.search("old bridge Lyon", 3)
    assert [hit.snippet for hit in hits[:2]] == [said, "Lyon has a bridge too."]
    assert hits[2].snippet == said
    assert len({hit.url for hit in hits}) == 3


@pytest.mark.parametrize("query", ["", "  ", "?!", "xqzzyx", "\u0000"])
def test_nothing_found_is_an_empty_list(web, query):
    assert web.search(query, 3) == []


def test_no_results_may_be_asked_for(web):
    assert web.search("Lyon", 0) == []


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_text_may_be_searched_for_and_gives_the_same_twice(web, query):
    assert web.search(query, 3) == web.search(query, 3)


def test_operators_are_words(web):
    assert web.search('title:Lyon AND (country OR "x") *^2 -France', 1)[0].title.startswith("Lyon")
    assert web.search("a " * 5000 + "Lyon", 1)


def test_a_folder_without_an_index_is_one_clear_line(web, tmp_path):
    with pytest.raises(AssetError, match="cannot be read"):
        SearchIndex(tmp_path, web.pages, 30)
