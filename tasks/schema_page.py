"""Writes `docs/schema.md`, the public face of the store, from the declared columns.

Run as `python -m tasks.schema_page > docs/schema.md`; a test holds the page to the code.
"""

from __future__ import annotations

import sys

import pyarrow as pa

from tasks.schemas import doc_of, is_volatile
from tasks.views import VIEWS

_HEAD = """# The store in SQL

`evolvesearch sql QUERY` answers one `SELECT` over these views. This page is generated from the
code by `python -m tasks.schema_page`.

A row belongs to the artifact that holds it, and an artifact to the run and iteration that made it
first: a run that reuses it has no rows of its own. `stage_artifacts` says which artifacts a run
made or reused, `lineage` what each artifact was made from. Timings (⏱) are stored, but outside
every digest. A filter on `run`, `iteration` or `artifact` keeps all other files closed;
[catalog.md](catalog.md) has more examples, and `evolvesearch lineage`.

```sql
-- wall time by stage
select stage, iteration, wall_s from stages order by 1, 2;
-- scores of every policy of a run
select p.name, b.benchmark, b.accuracy, b.ci_low, b.ci_high
from run_policies p join benchmarks b using (policy) where p.run = 'laptop';
-- why trajectories were dropped
select iteration, reason, count(*) from verdicts group by all order by all;
```

"""


def render() -> str:
    """The page as Markdown."""
    parts = [_HEAD]
    for view in VIEWS:
        parts.append(f"## {view.name}\n{view.doc}\n\n| Column | Type | Holds |\n|---|---|---|\n")
        parts.extend(_line(field) for field in view.schema)
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


def _line(field: pa.Field) -> str:
    mark = " ⏱" if is_volatile(field) else ""
    return f"| `{field.name}` | {_type(field.type)} | {doc_of(field)}{mark} |\n"


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    if pa.types.is_map(kind):
        return f"map of {_type(kind.item_type)}"
    if pa.types.is_struct(kind):
        return "struct (" + ", ".join(field.name for field in kind) + ")"
    return str(kind)


if __name__ == "__main__":
    sys.stdout.write(render())
