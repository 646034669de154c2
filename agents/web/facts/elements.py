"""Chemical elements: symbol, number, and who discovered them where and when (mendeleev)."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from agents.errors import AssetError
from agents.web.facts import tables
from agents.web.facts.builder import FactBuilder

_QUERY = """
    select e.atomic_number, e.symbol, e.name, e.discoverers, e.discovery_year,
           e.discovery_location, e.name_origin, e.period, s.name
    from elements e left join series s on s.id = e.series_id
    order by e.atomic_number
"""


def read_elements(folder: Path) -> list[tuple[Any, ...]]:
    """Reads the elements in order of their atomic number.

    Raises:
        AssetError: The file is missing or is not the known database.
    """
    path = folder / "elements.db"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            return database.execute(_QUERY).fetchall()
    except sqlite3.Error as error:
        raise AssetError(f"cannot read the table {path}: {error}") from error


def add_elements(builder: FactBuilder, rows: list[tuple[Any, ...]]) -> None:
    """Adds the elements; a discoverer is stated where the table names a single one."""
    for number, symbol, name, discoverers, year, place, origin, period, series in rows:
        element = builder.add_entity(
            "element", symbol, name, (symbol, *tables.ELEMENT_ALIASES.get(symbol, ()))
        )
        builder.add_value(element, "symbol", symbol)
        builder.add_value(element, "atomic_number", str(number))
        builder.add_value(element, "period", str(period) if period else "")
        builder.add_value(element, "series", (series or "").lower())
        builder.add_value(element, "discoverer", single_discoverer(discoverers or ""))
        builder.add_value(element, "discovery_year", str(year) if year else "")
        code = tables.DISCOVERY_COUNTRIES.get((place or "").strip(), "")
        if builder.has(f"country:{code}"):
            builder.link(element, "discovery_country", f"country:{code}")
        builder.add_value(element, "name_origin", " ".join((origin or "").split()).rstrip("."))


def single_discoverer(text: str) -> str:
    """The discoverer, empty where there is none or more than one."""
    name = " ".join(text.split()).rstrip(".")
    several = re.search(r",|;|/| and | et al", name)
    return "" if several or name.startswith("Known to") else name.removeprefix("Sir ")
