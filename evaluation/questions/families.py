"""The families of chains: what questions start from, and where they lead.

Each family has a plain pool, whose questions name their entity, and an obfuscated pool, whose
questions describe it by another fact (E2HQA's idea, WebDancer, section 2.1).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator

from agents.web.facts.names import page_name
from agents.web.graph import Entity, FactGraph
from evaluation.questions.chains import Chain, Clue
from evaluation.questions.splits import Part, Splits

ATTRIBUTES = ("currency", "capital", "language", "continent", "population")
"""What is asked of countries in training."""

UNSEEN_ATTRIBUTES = ("calling_code", "internet_domain", "area")
"""What is asked of countries in one benchmark only."""

PLACE_ATTRIBUTES = ("population", "timezone")
"""What is asked of cities."""

AIRPORT_ATTRIBUTES = ("iata_code", "elevation")
"""What is asked of airports."""

CITIES_PER_COUNTRY = 40
"""Cities that questions start from; countries take turns, so more would never have theirs."""

_PLAIN_NAME = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿ][A-Za-zÀ-ÖØ-öø-ÿ '.\-]{2,39}")

Pool = Callable[["Families"], Iterator[Chain]]


class Families:
    """Enumerates the chains of each family that start in one part, in a fixed order."""

    def __init__(self, graph: FactGraph, splits: Splits, part: Part) -> None:
        self._graph = graph
        self._splits = splits
        self._part = part
        self._cities = self._largest_cities()
        airports = [a for a in splits.members("airport", part) if self._readable(a)]
        named = [a for a in airports if page_name(a.title).endswith("Airport")]
        self._city_airports = [a for a in named if graph.of(a.entity_id, "city")]
        self._other_airports = [a for a in named if graph.of(a.entity_id, "country")]

    def _largest_cities(self) -> list[Entity]:
        """Cities that are no capitals, up to `CITIES_PER_COUNTRY` of each country."""
        by_country: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for city in self._splits.members("city"):
            facts = self._graph.relations(city.entity_id)
            if self._readable(city) and "capital_of" not in facts:
                population = int(facts["population"][0].value.replace(",", ""))
                by_country[facts["country"][0].value].append((-population, city.entity_id))
        return [
            self._graph.entities[entity_id]
            for _, cities in sorted(by_country.items())
            for _, entity_id in sorted(cities)[:CITIES_PER_COUNTRY]
            if self._splits.part_of(entity_id) == self._part
        ]

    @staticmethod
    def _readable(entity: Entity) -> bool:
        """Whether the name is plain enough to be typed into a search box."""
        return _PLAIN_NAME.fullmatch(page_name(entity.title)) is not None

    def _from(
        self, family: str, opening: str, starts: list[Entity], *paths: tuple[str, ...]
    ) -> Iterator[Chain]:
        """Chains from entities that are named themselves, or by the opening's relation."""
        relation = {
            "capital": "capital_of",
            "city_airport": "airport",
            "currency": "used_in",
            "served_city": "city",
        }.get(opening, "")
        for start in starts:
            for path in paths:
                yield Chain(family, opening, (Clue(start, relation),), path)

    def _neighbours(self, family: str, *paths: tuple[str, ...]) -> Iterator[Chain]:
        """Chains from a country that two clues single out: a neighbour's, and one more.

        Either clue alone fits several countries, so that both are needed. Where a neighbour's
        currency or language is not stated, it might be the same one: nothing is asked then.
        """
        clues = (("neighbour_currency", "currency"), ("neighbour_language", "language"))
        for start in self._splits.members("country", self._part):
            near = self._graph.of(start.entity_id, "neighbour")
            for opening, relation in clues:
                inverse = {"currency": "used_in", "language": "spoken_in"}[relation]
                stated = all(self._graph.of(fact.target or "", relation) for fact in near)
                for fact in near if stated and len(near) > 1 else ():
                    for second in self._graph.of(fact.target or "", relation):
                        shared = second.target or ""
                        if len(self._graph.of(shared, inverse)) < 2:
                            continue
                        both = (
                            Clue(start, "neighbour"),
                            Clue(self._graph.entities[shared], inverse),
                        )
                        for path in paths:
                            if path[0] != relation:
                                yield Chain(family, opening, both, path)

    def _capitals(self) -> list[Entity]:
        cities = self._splits.members("city", self._part)
        return [city for city in cities if self._graph.of(city.entity_id, "capital_of")]

    def _currencies(self) -> list[Entity]:
        """Currencies that one country alone uses."""
        every = self._splits.members("currency", self._part)
        return [c for c in every if len(self._graph.of(c.entity_id, "used_in")) == 1]

    def city_country(self) -> Iterator[Chain]:
        """A city's country and what is true of it."""
        paths = [("country", attribute) for attribute in ATTRIBUTES]
        return self._from("city_country", "city", self._cities, *paths)

    def city_country_obfuscated(self) -> Iterator[Chain]:
        """The same for a city that is described by its airport."""
        paths = [("country", attribute) for attribute in ATTRIBUTES]
        return self._from("city_country", "served_city", self._city_airports, *paths)

    def airport_city(self) -> Iterator[Chain]:
        """The city or country of an airport, and what is true of it."""
        cities = [("country",), *((attribute,) for attribute in PLACE_ATTRIBUTES)]
        yield from self._from("airport_city", "served_city", self._city_airports, *cities)
        paths = [("country", attribute) for attribute in ATTRIBUTES]
        yield from self._from("airport_city", "airport", self._other_airports, *paths)

    def airport_city_obfuscated(self) -> Iterator[Chain]:
        """What is true of an airport that is described by its city."""
        paths = [(attribute,) for attribute in AIRPORT_ATTRIBUTES]
        return self._from("airport_city", "city_airport", self._cities, *paths)

    def described_country(self) -> Iterator[Chain]:
        """A country that is described by its capital or its currency."""
        for opening, starts in (("capital", self._capitals()), ("currency", self._currencies())):
            paths = [(attribute,) for attribute in ATTRIBUTES if attribute != opening]
            yield from self._from("described_country", opening, starts, *paths)

    def described_country_obfuscated(self) -> Iterator[Chain]:
        """A country that a neighbour and a currency or language single out."""
        return self._neighbours("described_country", *((a,) for a in ATTRIBUTES))

    def capital_bridge(self) -> Iterator[Chain]:
        """What is true of the capital of a city's or airport's country."""
        paths = [("country", "capital", attribute) for attribute in PLACE_ATTRIBUTES]
        yield from self._from("capital_bridge", "city", self._cities, *paths)
        yield from self._from("capital_bridge", "airport", self._other_airports, *paths)

    def capital_bridge_obfuscated(self) -> Iterator[Chain]:
        """What is true of the capital of a country that its currency describes."""
        paths = [("capital", attribute) for attribute in PLACE_ATTRIBUTES]
        return self._from("capital_bridge", "currency", self._currencies(), *paths)

    def unseen_relation(self) -> Iterator[Chain]:
        """A city's country, asked for what training never asks."""
        paths = [("country", attribute) for attribute in UNSEEN_ATTRIBUTES]
        return self._from("unseen_relation", "city", self._cities, *paths)

    def unseen_relation_obfuscated(self) -> Iterator[Chain]:
        """The same for a city that is described by its airport."""
        paths = [("country", attribute) for attribute in UNSEEN_ATTRIBUTES]
        return self._from("unseen_relation", "served_city", self._city_airports, *paths)

    def unseen_kind(self) -> Iterator[Chain]:
        """The country where an element was discovered; training knows no elements."""
        elements = self._splits.members("element", self._part)
        paths = [("discovery_country", attribute) for attribute in ATTRIBUTES]
        return self._from("unseen_kind", "element", elements, *paths)

    def unseen_kind_obfuscated(self) -> Iterator[Chain]:
        """What is true of the capital of the country where an element was discovered."""
        elements = self._splits.members("element", self._part)
        paths = [("discovery_country", "capital", attribute) for attribute in PLACE_ATTRIBUTES]
        return self._from("unseen_kind", "element", elements, *paths)

    def more_hops(self) -> Iterator[Chain]:
        """Four facts: from an airport by its city to the capital, or from a city to that of it."""
        paths = [("country", "capital", attribute) for attribute in PLACE_ATTRIBUTES]
        yield from self._from("more_hops", "served_city", self._city_airports, *paths)
        far = [("country", "capital", "airport", attribute) for attribute in AIRPORT_ATTRIBUTES]
        yield from self._from("more_hops", "city", self._cities, *far)

    def more_hops_obfuscated(self) -> Iterator[Chain]:
        """Four facts: from the two clues to a country by its capital."""
        paths = [("capital", attribute) for attribute in PLACE_ATTRIBUTES]
        return self._neighbours("more_hops", *paths)


POOLS: dict[str, tuple[Pool, Pool]] = {
    "city_country": (Families.city_country, Families.city_country_obfuscated),
    "airport_city": (Families.airport_city, Families.airport_city_obfuscated),
    "described_country": (Families.described_country, Families.described_country_obfuscated),
    "capital_bridge": (Families.capital_bridge, Families.capital_bridge_obfuscated),
    "unseen_relation": (Families.unseen_relation, Families.unseen_relation_obfuscated),
    "unseen_kind": (Families.unseen_kind, Families.unseen_kind_obfuscated),
    "more_hops": (Families.more_hops, Families.more_hops_obfuscated),
}
"""The plain and the obfuscated pool of every family; the names are the benchmarks'."""
