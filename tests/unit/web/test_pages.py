"""Fact pages say every fact of their subject in sentences of their own, and link to targets."""

from agents.web.analysis import base_title
from agents.web.pages import fact_pages
from agents.web.sentences import definition, fact_sentence


def page_of(graph, title):
    return next(page for page in fact_pages(graph) if page.title == title)


def test_a_city_begins_with_its_country(graph):
    page = page_of(graph, "Lyon (city)")
    assert page.text.splitlines() == [
        "Lyon is a city in France.",
        "The population of Lyon is 520,774.",
        "Lyon is served by Lyon Saint-Exupery Airport.",
    ]
    assert [link.title for link in page.links] == [
        "France (country)",
        "Lyon Saint-Exupery Airport (airport)",
    ]
    assert page.url == "http://wiki.local/Lyon_(city)"


def test_every_fact_is_stated_and_every_target_linked(graph):
    pages = {page.title: page for page in fact_pages(graph)}
    for fact in graph.facts:
        page = pages[graph.entities[fact.subject].title]
        line = [line for line in page.text.splitlines() if fact.value in line]
        assert line
        assert base_title(page.title) in line[0]
        if fact.target is not None:
            assert graph.entities[fact.target].url in {link.url for link in page.links}


def test_every_sentence_has_its_hint(graph):
    for page in fact_pages(graph):
        assert len(page.hints) == len(page.text.splitlines())


def test_what_no_fact_defines_is_defined_by_its_kind(graph):
    assert page_of(graph, "Polonium (element)").text.startswith("Polonium is a chemical element.")
    assert definition("Euro", "currency") == "Euro is a currency."
    assert definition("X", "airport") == "X is an airport."


def test_a_qualified_name_is_found_by_the_name_alone(graph):
    assert "Lyon" in page_of(graph, "Lyon, United States (city)").names


def test_prominence_orders_namesakes(graph):
    assert (
        page_of(graph, "France (country)").prominence
        > page_of(graph, "Lyon (city)").prominence
        > page_of(graph, "Lyon, United States (city)").prominence
        > 0
    )


def test_sentences_read_well():
    assert fact_sentence("X", "city", "country", ["United States"]) == (
        "X is a city in the United States."
    )
    assert fact_sentence("X", "country", "neighbour", ["A", "B", "C"]) == "X borders A, B and C."
    assert fact_sentence("X", "country", "made_up", ["1"]) == "The made up of X is 1."
    assert fact_sentence("X", "country", "made_up", ["1", "2"]) == "The made up of X are 1 and 2."
    assert fact_sentence("X", "country", "capital", ["Y, D.C."]) == "The capital of X is Y, D.C."
