"""Small tables show each rule by which the fact graph is built."""

import csv
import json
import sqlite3

import pytest

from agents.errors import AssetError
from agents.web.facts import build_fact_graph
from agents.web.facts.builder import FactBuilder
from agents.web.facts.countries import main_language
from agents.web.facts.elements import single_discoverer


def country(name, capital, **changes):
    row = {
        "name": name,
        "capital": capital,
        "continentcode": "EU",
        "currencycode": "EUR",
        "currencyname": "Euro",
        "languages": "",
        "neighbours": "",
        "population": 1_000,
        "areakm2": 50,
        "phone": "33",
        "tld": ".xx",
        "iso3": "XXX",
    }
    return row | changes


def city(key, name, code, population, other=()):
    return {
        "geonameid": key,
        "name": name,
        "countrycode": code,
        "population": population,
        "timezone": "Europe/Paris",
        "alternatenames": list(other),
    }


COUNTRIES = {
    "FR": country("France", "Paris", languages="fr-FR,br", neighbours="DE,ES"),
    "DE": country("Germany", "Berlin", neighbours="FR", phone="49 and 50"),
    "ES": country("Spain", "Madrid", neighbours=""),
    "RE": country("Reunion", "Saint-Denis"),
}
CITIES = [
    city(1, "Paris", "FR", 2_000_000),
    city(2, "Paris", "ES", 20_000),
    city(3, "Lyon", "FR", 500_000),
    city(4, "Neustadt", "DE", 50_000),
    city(5, "Neustadt", "DE", 40_000),
    city(6, "Stadt Berlin", "DE", 3_000_000, ["Berlin"]),
    city(7, "Saint-Denis", "RE", 150_000),
    city(8, "Tours", "FR", 16_000),
]
AIRPORTS = [
    {"iata": "LYS", "name": "Saint-Exupery Airport", "city": "Lyon", "country": "FR"},
    {"iata": "NEU", "name": "Neustadt Airport", "city": "Neustadt", "country": "DE"},
    {"iata": "RUN", "name": "Roland Garros Airport", "city": "Saint-Denis", "country": "RE"},
    {"iata": "", "name": "Nameless Field", "city": "Lyon", "country": "FR"},
]
ELEMENTS = [
    (1, "H", "Hydrogen", "Sir Henry Cavendish", 1766, "France", "Greek: water.", 1, 1),
    (2, "He", "Helium", "A. One, B. Two", 1895, "Scotland/Sweden", None, 1, 1),
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "countries.json").write_text(json.dumps(COUNTRIES))
    cities = {str(row["geonameid"]): row for row in CITIES}
    (tmp_path / "cities15000.json").write_text(json.dumps(cities))
    with (tmp_path / "airports.csv").open("w", newline="") as file:
        columns = ["icao", "iata", "name", "city", "country", "elevation", "tz"]
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({"icao": "XXXX", "elevation": "12.6", "tz": "", **row} for row in AIRPORTS)
    with sqlite3.connect(tmp_path / "elements.db") as database:
        database.execute("create table series (id, name)")
        database.execute("insert into series values (1, 'Nonmetals')")
        database.execute(
            "create table elements (atomic_number, symbol, name, discoverers, discovery_year,"
            " discovery_location, name_origin, period, series_id)"
        )
        rows = "insert into elements values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        database.executemany(rows, ELEMENTS)
    return tmp_path


@pytest.fixture
def graph(folder):
    return build_fact_graph(folder, folder, folder)


def values(graph, entity_id, relation):
    return [fact.value for fact in graph.of(entity_id, relation)]


def test_dependent_territories_and_what_lies_in_them_are_left_out(graph):
    assert "country:RE" not in graph.entities
    assert "city:7" not in graph.entities
    assert "airport:RUN" not in graph.entities


def test_a_city_that_dwarfs_its_namesakes_is_called_by_its_name_alone(graph):
    assert graph.entities["city:1"].title == "Paris (city)"
    assert graph.entities["city:2"].title == "Paris, Spain (city)"


def test_of_namesakes_in_one_country_the_largest_stays_and_is_qualified(graph):
    assert "city:5" not in graph.entities
    assert graph.entities["city:4"].title == "Neustadt, Germany (city)"
    assert values(graph, "airport:NEU", "city") == []
    assert values(graph, "airport:NEU", "country") == ["Germany"]


def test_an_airport_leads_to_its_city_and_back(graph):
    assert values(graph, "airport:LYS", "city") == ["Lyon"]
    assert values(graph, "airport:LYS", "country") == []
    assert values(graph, "city:3", "airport") == ["Saint-Exupery Airport"]
    assert values(graph, "airport:LYS", "elevation") == ["13 feet"]


def test_a_capital_is_found_by_another_name_too(graph):
    assert [fact.target for fact in graph.of("country:DE", "capital")] == ["city:6"]
    assert graph.of("country:DE", "capital")[0].aliases == ("Berlin",)
    assert values(graph, "city:6", "capital_of") == ["Germany"]


def test_a_capital_without_a_page_is_a_plain_value(graph):
    (fact,) = graph.of("country:ES", "capital")
    assert (fact.value, fact.target) == ("Madrid", None)


def test_both_countries_must_know_of_a_border(graph):
    assert values(graph, "country:FR", "neighbour") == ["Germany"]


def test_two_codes_in_one_field_are_no_fact(graph):
    assert values(graph, "country:FR", "calling_code") == ["+33"]
    assert values(graph, "country:DE", "calling_code") == []


def test_small_cities_go_but_capitals_stay(folder):
    graph = build_fact_graph(folder, folder, folder, min_city_population=2_500_000)
    assert {e.entity_id for e in graph.of_kind("city")} == {"city:1", "city:6"}


def test_elements_state_only_what_is_clear(graph):
    assert values(graph, "element:H", "discoverer") == ["Henry Cavendish"]
    assert values(graph, "element:H", "discovery_country") == ["France"]
    assert values(graph, "element:He", "discoverer") == []
    assert values(graph, "element:He", "discovery_country") == []


@pytest.mark.parametrize(
    ("listed", "language"),
    [
        ("fr-FR,frp", "fr"),
        ("ja", "ja"),
        ("kk,ru", "kk"),
        ("", ""),
        ("de-FR,fr-FR", ""),
        ("uk,ru-FR", ""),
    ],
)
def test_a_main_language_is_stated_only_where_nothing_speaks_against_it(listed, language):
    assert main_language("FR", listed) == language


@pytest.mark.parametrize("text", ["A, B", "A and B", "Known to the ancients.", "A et al", "A; B"])
def test_several_discoverers_or_none_are_no_fact(text):
    assert single_discoverer(text) == ""


def test_titles_that_share_an_address_are_refused():
    builder = FactBuilder()
    builder.add_entity("city", "1", "Malé")
    with pytest.raises(ValueError, match="taken"):
        builder.add_entity("city", "2", "Male")


@pytest.mark.parametrize("name", ["countries.json", "cities15000.json", "airports.csv"])
def test_a_missing_or_damaged_table_is_named_in_one_line(folder, name):
    (folder / name).write_text("[1]")
    with pytest.raises(AssetError, match=name) as caught:
        build_fact_graph(folder, folder, folder)
    assert "\n" not in str(caught.value)
    (folder / name).unlink()
    with pytest.raises(AssetError, match=name):
        build_fact_graph(folder, folder, folder)


def test_a_damaged_database_is_named_in_one_line(folder):
    (folder / "elements.db").write_text("no database")
    with pytest.raises(AssetError, match=r"elements\.db"):
        build_fact_graph(folder, folder, folder)
