"""Cities: their countries, populations and time zones, and which are capitals (GeoNames)."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from agents.web.facts import tables
from agents.web.facts.builder import FactBuilder
from agents.web.facts.countries import CountryRow, read_json
from agents.web.facts.names import fold, with_thousands

DOMINANCE = 10
"""How many times larger than its namesakes a city must be to be called by its name alone."""

CityRow = dict[str, Any]


def read_cities(folder: Path, countries: dict[str, CountryRow]) -> list[CityRow]:
    """Reads the cities of these countries, the largest of each name within a country.

    Raises:
        AssetError: The file is missing or is not the known table.
    """
    largest: dict[tuple[str, str], CityRow] = {}
    for row in read_json(folder / "cities15000.json").values():
        if row["countrycode"] not in countries or not row["population"]:
            continue
        key = (row["countrycode"], fold(row["name"]))
        rival = largest.get(key)
        # A smaller namesake in the same country leaves its trace: the name stays qualified.
        if rival is None:
            largest[key] = {**row, "alone": True}
        else:
            bigger = row if _size(row) > _size(rival) else rival
            largest[key] = {**bigger, "alone": False}
    return [row for key, row in sorted(largest.items()) if key[1]]


def _size(row: CityRow) -> tuple[int, int]:
    return int(row["population"]), int(row["geonameid"])


def add_cities(
    builder: FactBuilder,
    countries: dict[str, CountryRow],
    cities: list[CityRow],
    min_population: int,
) -> dict[tuple[str, str], str]:
    """Adds cities of at least this population, and all capitals.

    Returns:
        Ids of the cities that have their name alone in their country, by (code, folded name).
    """
    capitals = find_capitals(countries, cities)
    titles = _titles(countries, cities)
    by_name = {}
    for row in cities:
        key = row["geonameid"]
        code = row["countrycode"]
        if row["population"] < min_population and capitals.get(code) != key:
            continue
        aliases: tuple[str, ...] = ()
        if capitals.get(code) == key:
            aliases = (countries[code].capital, *tables.CAPITAL_ALIASES.get(code, ()))
        city = builder.add_entity("city", str(key), row["name"], aliases, title=titles[key])
        if row["alone"]:
            by_name[code, fold(row["name"])] = city
        builder.link(city, "country", f"country:{code}")
        builder.add_value(city, "population", with_thousands(row["population"]))
        builder.add_value(city, "timezone", row["timezone"])
    for code, country in sorted(countries.items()):
        if code in capitals:
            builder.link(f"country:{code}", "capital", f"city:{capitals[code]}")
        else:
            builder.add_value(f"country:{code}", "capital", country.capital)
    return by_name


def find_capitals(countries: dict[str, CountryRow], cities: list[CityRow]) -> dict[str, int]:
    """Finds each capital among its country's cities, by its name or else by another name of it."""
    named: dict[str, list[CityRow]] = defaultdict(list)
    for row in cities:
        named[row["countrycode"]].append(row)
    capitals = {}
    for code, country in countries.items():
        wanted = fold(country.capital)
        if not wanted:
            continue
        rows = named[code]
        exact = [row for row in rows if fold(row["name"]) == wanted]
        found = exact or [row for row in rows if wanted in map(fold, row["alternatenames"])]
        if found:
            capitals[code] = int(max(found, key=_size)["geonameid"])
    return capitals


def _titles(countries: dict[str, CountryRow], cities: list[CityRow]) -> dict[int, str]:
    """Names inside the titles: the bare name where it is clear which city is meant."""
    namesakes: dict[str, list[CityRow]] = defaultdict(list)
    for row in cities:
        namesakes[fold(row["name"])].append(row)
    titles = {}
    for rows in namesakes.values():
        rows.sort(key=_size, reverse=True)
        runner_up = rows[1]["population"] if len(rows) > 1 else 0
        for position, row in enumerate(rows):
            dominant = position == 0 and row["population"] >= DOMINANCE * runner_up
            bare = row["alone"] and dominant
            suffix = "" if bare else f", {countries[row['countrycode']].name}"
            titles[int(row["geonameid"])] = row["name"] + suffix
    return titles
