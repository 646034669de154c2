"""Airports with an IATA code: the city each serves, or its country (airportsdata)."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from agents.errors import AssetError
from agents.web.facts.builder import FactBuilder
from agents.web.facts.names import fold, with_thousands

_COLUMNS = {"icao", "iata", "name", "city", "country", "elevation", "tz"}


def read_airports(folder: Path) -> list[dict[str, str]]:
    """Reads the airports that have an IATA code and a name, in order of the code.

    Raises:
        AssetError: The file is missing or is not the known table.
    """
    path = folder / "airports.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise AssetError(f"cannot read the table {path}: {error}") from error
    missing = _COLUMNS - set(reader.fieldnames or ())
    if missing:
        raise AssetError(f"cannot read the table {path}: no column {', '.join(sorted(missing))}")
    return sorted((r for r in rows if r["iata"] and r["name"]), key=lambda r: r["iata"])


def add_airports(
    builder: FactBuilder,
    rows: list[dict[str, str]],
    city_by_name: dict[tuple[str, str], str],
) -> None:
    """Adds the airports of the countries that the builder knows.

    An airport's page names the city it serves where that city has a page, else the country: so
    the way from such an airport to the country leads through the city.

    Args:
        builder: Holds the countries and cities already.
        rows: The table's rows.
        city_by_name: Cities by (ISO code, folded name), those alone with their name there.
    """
    named = Counter(fold(row["name"]) for row in rows)
    for row in rows:
        country = f"country:{row['country']}"
        if not builder.has(country):
            continue
        name = " ".join(row["name"].split())
        title = name if named[fold(name)] == 1 else f"{name}, {row['iata']}"
        airport = builder.add_entity("airport", row["iata"], name, (row["iata"],), title=title)
        city = city_by_name.get((row["country"], fold(row["city"])))
        if city:
            builder.link(airport, "city", city)
        else:
            builder.link(airport, "country", country)
        builder.add_value(airport, "iata_code", row["iata"])
        builder.add_value(airport, "icao_code", row["icao"])
        if row["elevation"]:
            feet = with_thousands(round(float(row["elevation"])))
            builder.add_value(airport, "elevation", f"{feet} feet", (feet, f"{feet} ft"))
