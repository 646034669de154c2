"""The facts of the embedded web, gathered from tables of countries, cities, elements and airports.

- `names.py`: folding of names, titles and addresses of pages.
- `tables.py`: the few facts that the tables lack or have wrong (names of currencies, …).
- `builder.py`: collects entities and facts, and keeps titles unique.
- `countries.py`, `cities.py`, `airports.py`, `elements.py`: one table each.
- `assembly.py`: `build_fact_graph`, all of them together.

Every link is stated in both directions (`capital` and `capital_of`, `currency` and `used_in`, …),
so that a page is exactly the facts whose subject it is.
"""

from __future__ import annotations

from agents.web.facts.assembly import build_fact_graph

__all__ = ["build_fact_graph"]
