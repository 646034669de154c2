"""The wording of questions: several templates for every opening and relation."""

from __future__ import annotations

import random

from agents.web.facts.names import page_name
from agents.web.graph import Entity
from evaluation.questions.chains import Chain

OPENINGS: dict[str, tuple[str, ...]] = {
    "city": ("the city of {0}", "the city of {0}", "the city called {0}"),
    "airport": ("{0}",),
    "element": ("the element {0}", "the chemical element {0}"),
    "served_city": ("the city served by {0}", "the city that {0} serves"),
    "city_airport": (
        "the airport that serves the city of {0}",
        "the airport serving the city of {0}",
        "the airport of the city of {0}",
    ),
    "capital": (
        "the country whose capital is {0}",
        "the country that has {0} as its capital",
        "the country with the capital {0}",
    ),
    "currency": (
        "the country whose currency is the {0}",
        "the country that uses the {0}",
        "the country that pays with the {0}",
    ),
    "neighbour_currency": (
        "the country that borders {0} and uses the {1}",
        "the neighbour of {0} whose currency is the {1}",
        "the country next to {0} that pays with the {1}",
    ),
    "neighbour_language": (
        "the country that borders {0} and whose main language is {1}",
        "the neighbour of {0} where the main language is {1}",
        "the country next to {0} where people mainly speak {1}",
    ),
}
"""Noun phrases for what the clues mean; `{0}` and `{1}` are the names that the clues give."""

STEPS: dict[str, tuple[str, ...]] = {
    "airport": ("the airport that serves {x}", "the airport serving {x}", "the airport of {x}"),
    "country": (
        "the country where {x} is located",
        "the country in which {x} lies",
        "the country that contains {x}",
    ),
    "capital": ("the capital of {x}", "the capital city of {x}"),
    "discovery_country": (
        "the country where {x} was discovered",
        "the country in which {x} was discovered",
    ),
}
"""Noun phrases for what a relation leads to on the way."""

QUESTIONS: dict[str, tuple[str, ...]] = {
    "area": (
        "What is the area of {x}?",
        "How large is the area of {x}?",
        "What is the area in square kilometres of {x}?",
    ),
    "calling_code": (
        "What is the calling code of {x}?",
        "What is the international calling code of {x}?",
        "What is the telephone calling code of {x}?",
    ),
    "capital": (
        "What is the capital of {x}?",
        "Which city is the capital of {x}?",
        "What is the name of the capital of {x}?",
    ),
    "continent": (
        "On which continent is {x}?",
        "On what continent can one find {x}?",
        "What is the continent of {x}?",
    ),
    "country": (
        "In which country is {x}?",
        "In what country can one find {x}?",
        "What is the name of the country where {x} is located?",
    ),
    "currency": (
        "What is the currency of {x}?",
        "Which currency is used in {x}?",
        "What currency do people pay with in {x}?",
    ),
    "elevation": (
        "What is the elevation of {x}?",
        "What is the elevation in feet of {x}?",
        "At what elevation is {x}?",
    ),
    "iata_code": (
        "What is the IATA code of {x}?",
        "What is the IATA airport code of {x}?",
        "What is the three-letter IATA code of {x}?",
    ),
    "internet_domain": (
        "What is the internet domain of {x}?",
        "What is the top-level internet domain of {x}?",
        "What is the country-code internet domain of {x}?",
    ),
    "language": (
        "What is the main language of {x}?",
        "Which language is mainly spoken in {x}?",
        "What language do most people speak in {x}?",
    ),
    "population": (
        "What is the population of {x}?",
        "How many people live in {x}?",
        "What is the number of inhabitants of {x}?",
    ),
    "timezone": (
        "What is the time zone of {x}?",
        "In which time zone is {x}?",
        "Which time zone is used in {x}?",
    ),
}
"""Questions for what the last relation leads to."""

_WITH_ARTICLE = (
    *("Bahamas", "Central African Republic", "Comoros", "Democratic Republic of the Congo"),
    *("Dominican Republic", "Gambia", "Ivory Coast", "Maldives", "Marshall Islands"),
    *("Netherlands", "Philippines", "Republic of the Congo", "Seychelles", "Solomon Islands"),
    *("United Arab Emirates", "United Kingdom", "United States"),
)


def word_question(chain: Chain, chooser: random.Random) -> str:
    """Words a chain, each part by one of its templates."""
    names = [name_in_text(clue.entity) for clue in chain.clues]
    phrase = chooser.choice(OPENINGS[chain.opening]).format(*names)
    for relation in chain.path[:-1]:
        phrase = chooser.choice(STEPS[relation]).format(x=phrase)
    return chooser.choice(QUESTIONS[chain.path[-1]]).format(x=phrase)


def name_in_text(entity: Entity) -> str:
    """An entity's name as it stands inside a sentence."""
    name = page_name(entity.title)
    if entity.kind == "country" and name in _WITH_ARTICLE:
        return f"the {name}"
    # "Yen" and "Oxygen" open their pages with a capital; "Swiss franc" keeps its own.
    if entity.kind == "element" or (entity.kind == "currency" and " " not in name):
        return name.lower()
    return name
