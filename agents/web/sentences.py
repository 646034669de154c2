"""Facts as plain English: one short, self-contained sentence a relation.

Every sentence names its subject, so that a snippet of one sentence is enough to answer from.
`HINTS` are the words by which people ask for a relation although its sentence may not hold them;
the index knows them, the page does not show them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_KIND_NAMES = {"element": "chemical element"}

# {s}: the subject's name, {k}: its kind with the article, {v}: the values, joined. Relations
# that are missing here read `The … of {s} is {v}.`
_TEMPLATES = {
    "country": "{s} is {k} in {v}.",
    "continent": "{s} is {k} in {v}.",
    "timezone": "The time zone of {s} is {v}.",
    "neighbour": "{s} borders {v}.",
    "iata_code": "The IATA code of {s} is {v}.",
    "icao_code": "The ICAO code of {s} is {v}.",
    "city": "{s} is {k} serving the city of {v}.",
    "airport": "{s} is served by {v}.",
    "capital_of": "{s} is the capital of {v}.",
    "used_in": "{s} is the currency of {v}.",
    "spoken_in": "{s} is the language of {v}.",
    "includes": "Countries in {s} are {v}.",
    "series": "{s} belongs to the {v}.",
    "discoverer": "{s} was discovered by {v}.",
    "discovery_year": "{s} was discovered in {v}.",
    "discovery_country": "{s} was discovered in {v}.",
    "discovered_element": "Elements discovered in {s} are {v}.",
    "name_origin": "Origin of the name {s}: {v}.",
}
_SINGULARS = {"includes": "A country in {s} is {v}."} | {
    "discovered_element": "An element discovered in {s} is {v}."
}
HINTS = {
    "country": "country nation state located lies",
    "continent": "continent located",
    "currency": "currency money paid used",
    "capital": "capital city",
    "language": "language spoken speak official",
    "neighbour": "neighbour neighbor neighbouring border bordering",
    "population": "population people inhabitants live",
    "area": "area size large square",
    "timezone": "timezone time zone",
    "calling_code": "calling code phone telephone dialling prefix",
    "internet_domain": "internet domain top level tld web suffix ends",
    "country_code": "country code iso letter",
    "currency_code": "currency code iso letter",
    "iata_code": "iata code airport",
    "icao_code": "icao code airport",
    "elevation": "elevation altitude height high above sea level feet",
    "city": "city served serve located town near",
    "airport": "airport served",
    "capital_of": "capital country",
    "used_in": "currency used country",
    "spoken_in": "language spoken country",
    "includes": "continent country",
    "discoverer": "discoverer discovered discovery found",
    "discovery_year": "discovery year discovered date",
    "discovery_country": "discovery country discovered nation place",
    "discovered_element": "discovery element discovered",
    "name_origin": "name origin named after etymology",
    "symbol": "symbol abbreviation",
    "series": "series group category kind",
}
# `a city in the Netherlands`, but `a city in France`.
_WITH_ARTICLE = re.compile(
    r"United |Netherlands$|Philippines$|Maldives$|Bahamas$|Gambia$|Comoros$|Seychelles$|"
    r".* (?:Islands|Republic)$|(?:Democratic )?Republic of "
)
# Their sentences say what the subject is, so they come first and stand for a definition.
DEFINING = ("country", "continent", "city")


def kind_phrase(kind: str) -> str:
    """The kind with its article, as in `an airport`."""
    name = _KIND_NAMES.get(kind, kind.replace("_", " "))
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"


def definition(name: str, kind: str) -> str:
    """What a thing is, where no fact says more."""
    return f"{name} is {kind_phrase(kind)}."


def fact_sentence(name: str, kind: str, relation: str, values: Sequence[str]) -> str:
    """One sentence for all values of one relation of one subject.

    Args:
        name: The subject's name.
        kind: The subject's kind.
        relation: The relation's name.
        values: What it leads to; at least one.
    """
    template = _TEMPLATES.get(relation)
    if len(values) == 1:
        template = _SINGULARS.get(relation, template)
    if template is None:
        verb = "is" if len(values) == 1 else "are"
        template = f"The {relation.replace('_', ' ')} of {{s}} {verb} {{v}}."
    if relation == "country":
        values = [f"the {v}" if _WITH_ARTICLE.match(v) else v for v in values]
    text = template.format(s=name, k=kind_phrase(kind), v=join_names(values))
    # A value may bring its own full stop (`Washington, D.C.`).
    return text[:-1] if text.endswith("..") else text


def hint_of(relation: str) -> str:
    """Search words for the sentence of a relation."""
    return HINTS.get(relation, relation.replace("_", " "))


def join_names(names: Sequence[str]) -> str:
    """`A`, `A and B`, or `A, B and C`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
