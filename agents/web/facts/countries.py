"""Countries, their continents, currencies and languages (GeoNames)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.errors import AssetError
from agents.web.facts import tables
from agents.web.facts.builder import FactBuilder
from agents.web.facts.names import with_thousands


@dataclass(frozen=True, slots=True)
class CountryRow:
    """One sovereign country of the table, with the names that pages use.

    Attributes:
        code: ISO 3166 alpha-2 code.
        name: Name of the country.
        capital: Name of its capital, empty where none is stated.
        row: The table's own row.
    """

    code: str
    name: str
    capital: str
    row: dict[str, Any]


def read_countries(folder: Path) -> dict[str, CountryRow]:
    """Reads the sovereign countries by ISO code.

    Raises:
        AssetError: The file is missing or is not the known table.
    """
    table = read_json(folder / "countries.json")
    countries = {}
    for code, row in table.items():
        if code in tables.DEPENDENT_TERRITORIES or code in tables.DISSOLVED:
            continue
        capital = tables.CAPITALS.get(code, row["capital"].strip())
        countries[code] = CountryRow(
            code=code,
            name=tables.COUNTRY_NAMES.get(code, row["name"]),
            capital="" if code in tables.CONTESTED_CAPITALS else capital,
            row=row,
        )
    return countries


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        AssetError: The file cannot be read as one.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AssetError(f"cannot read the table {path}: {error}") from error
    if not isinstance(table, dict):
        raise AssetError(f"cannot read the table {path}: expected a JSON object")
    return table


def add_countries(builder: FactBuilder, countries: dict[str, CountryRow]) -> None:
    """Adds continents, currencies, languages and countries, and what links them.

    The capital is added with the cities, where it becomes a link.
    """
    for code, name in tables.CONTINENTS.items():
        builder.add_entity("continent", code, name)
    for code, country in sorted(countries.items()):
        builder.add_entity("country", code, country.name, tables.COUNTRY_ALIASES.get(code, ()))
    for _, country in sorted(countries.items()):
        _add_links(builder, countries, country)
        _add_values(builder, country)


def _add_links(builder: FactBuilder, countries: dict[str, CountryRow], country: CountryRow) -> None:
    """Adds continent, currency, language and neighbours of one country."""
    subject, row = f"country:{country.code}", country.row
    if country.code not in tables.TRANSCONTINENTAL:
        builder.link(subject, "continent", f"continent:{row['continentcode']}")
    currency = f"currency:{row['currencycode']}"
    if not builder.has(currency):
        name, *aliases = tables.CURRENCIES.get(row["currencycode"], (row["currencyname"],))
        builder.add_entity("currency", row["currencycode"], name, (*aliases, row["currencycode"]))
        builder.add_value(currency, "currency_code", row["currencycode"])
    builder.link(subject, "currency", currency)
    language = main_language(country.code, row["languages"])
    if language:
        if not builder.has(f"language:{language}"):
            names = tables.LANGUAGE_ALIASES.get(language, ())
            builder.add_entity("language", language, tables.LANGUAGES[language], names)
        builder.link(subject, "language", f"language:{language}")
    for neighbour in sorted(filter(None, row["neighbours"].split(","))):
        if _border(countries, country.code, neighbour):
            builder.link(subject, "neighbour", f"country:{neighbour}")


def _border(countries: dict[str, CountryRow], code: str, other: str) -> bool:
    """Whether two countries border each other.

    Both must say so: where only one does, the border is a dependent territory's.
    """
    if other not in countries or (code, other) in tables.NO_BORDERS:
        return False
    return code in countries[other].row["neighbours"].split(",")


def main_language(code: str, languages: str) -> str:
    """The language that the table lists first, where nothing speaks against it.

    The table tags languages of a country's own variety (`fr-FR`). Where only later ones, or
    several, are tagged, the first is not clearly the main one.

    Args:
        code: ISO code of the country.
        languages: The table's list, such as `fr-FR,frp,br`.

    Returns:
        The ISO 639 code, empty where no language is clearly the main one.
    """
    if not languages or code in tables.CONTESTED_LANGUAGES:
        return ""
    listed = languages.split(",")
    tagged = [language for language in listed if language.endswith(f"-{code}")]
    if tagged and tagged != listed[:1]:
        return ""
    return listed[0].split("-")[0]


def _add_values(builder: FactBuilder, country: CountryRow) -> None:
    """Adds the plain values of one country."""
    subject, row = f"country:{country.code}", country.row
    if row["population"]:
        builder.add_value(subject, "population", with_thousands(row["population"]))
    if row["areakm2"]:
        area = with_thousands(row["areakm2"])
        builder.add_value(
            subject, "area", f"{area} square kilometres", (f"{area} km²", f"{area} km2", area)
        )
    # Two codes in one field ("+1-809 and 1-829") have no single right answer.
    phone = row["phone"].removeprefix("+")
    if phone and "and" not in phone:
        builder.add_value(subject, "calling_code", f"+{phone}", (f"+{phone}".replace("-", ""),))
    builder.add_value(subject, "internet_domain", row["tld"])
    builder.add_value(subject, "country_code", row["iso3"])
