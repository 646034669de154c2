"""All tables together: the fact graph of the embedded web."""

from __future__ import annotations

from pathlib import Path

from agents.web.facts.airports import add_airports, read_airports
from agents.web.facts.builder import FactBuilder
from agents.web.facts.cities import add_cities, read_cities
from agents.web.facts.countries import add_countries, read_countries
from agents.web.facts.elements import add_elements, read_elements
from agents.web.graph import FactGraph


def build_fact_graph(
    geonames: Path, mendeleev: Path, airports: Path, min_city_population: int = 15_000
) -> FactGraph:
    """Builds the fact graph; the same tables always give the same graph.

    Args:
        geonames: Folder with `countries.json` and `cities15000.json`.
        mendeleev: Folder with `elements.db`.
        airports: Folder with `airports.csv`.
        min_city_population: Smaller cities are left out, capitals apart; the table's own
            limit is 15,000 inhabitants.

    Raises:
        AssetError: A table is missing or is not the known one.
    """
    builder = FactBuilder()
    countries = read_countries(geonames)
    add_countries(builder, countries)
    cities = read_cities(geonames, countries)
    city_by_name = add_cities(builder, countries, cities, min_city_population)
    add_elements(builder, read_elements(mendeleev))
    add_airports(builder, read_airports(airports), city_by_name)
    return builder.build()
