"""SQL over the store: DuckDB views of the manifests, the records and the Parquet files.

The database lives in memory and is built from the store each time it is opened: it is never a
record of its own, and a run that writes meanwhile is not disturbed. Queries read only: one
`SELECT` at a time, and no file outside the store's artifacts.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import duckdb
import pyarrow as pa

from agents.errors import StoreError, UsageError
from tasks.artifacts import ArtifactStore
from tasks.manifest import Manifest
from tasks.runs import RunLog
from tasks.schemas import TABLES
from tasks.views import PROVENANCE, RECORD_VIEWS, TABLE_VIEWS, TURNS_VIEW, View, record_rows

_OF_THE_FILES = (duckdb.IOException, duckdb.InvalidInputException, duckdb.InternalException)
_WHOLE = pa.decimal128(38, 0)


class Catalog:
    """The views of one store, as it was when opened.

    `questions`, `trajectories`, `turns`, `rewards`, `verdicts`, `sft_examples`, `answers`,
    `benchmarks`, `policies`, `stages`, `stage_artifacts`, `runs`, `run_policies`, `artifacts`
    and `lineage`; their columns are in `docs/schema.md`. A kind that nothing has written yet is
    an empty view of the declared columns.

    Raises:
        StoreError: The store cannot be read.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        # Without this, a name in a query could mean a variable of this program.
        self._db = duckdb.connect(config={"python_enable_replacements": "false"})
        manifests = store.manifests()
        log = RunLog(store.objects)
        rows = record_rows(manifests, log.runs(), log.stages())
        for view in RECORD_VIEWS:
            self._fill(view.name, pa.Table.from_pylist(rows[view.name], schema=view.schema))
        try:
            for view in TABLE_VIEWS:
                self._view_of_files(view, [m for m in manifests if m.ref.kind == view.name])
        except duckdb.Error as error:
            raise StoreError(f"the store {store.uri} is damaged: {_line(error)}") from error
        self._view_of_turns()
        allowed = _quoted(str(store.local.tables_folder))
        self._db.execute(f"SET allowed_directories = [{allowed}]")
        self._db.execute("SET enable_external_access = false")
        self._db.execute("SET lock_configuration = true")

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the database's memory back."""
        self._db.close()

    def query(self, sql: str) -> pa.Table:
        """Answers one `SELECT` (or `DESCRIBE`, `SHOW TABLES`, `SUMMARIZE`).

        Raises:
            UsageError: The query is not one reading statement, or is wrong.
            StoreError: A file that it needs is damaged or gone.
        """
        try:
            statements = self._db.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise UsageError("query: expected one SELECT statement; the store is read-only")
            relation = self._db.sql(sql)
            return _plain_integers(relation.to_arrow_table())
        except _OF_THE_FILES as error:
            raise StoreError(f"the store {self._store.uri}: {_line(error)}") from error
        except duckdb.Error as error:
            raise UsageError(f"query: {_line(error)}") from error

    def _fill(self, name: str, table: pa.Table) -> None:
        self._db.register("incoming", table)
        self._db.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")  # noqa: S608
        self._db.unregister("incoming")

    def _view_of_files(self, view: View, manifests: Sequence[Manifest]) -> None:
        if not manifests:
            self._fill(view.name, view.schema.empty_table())
            return
        # Equal content made twice is one artifact; it belongs to whoever made it first.
        first: dict[str, Manifest] = {}
        for manifest in manifests:
            first.setdefault(manifest.ref.digest, manifest)
        files = self._store.local.tables([manifest.files[0] for manifest in first.values()])
        paths = dict(zip(first, map(str, files), strict=True))
        source = [
            {"path": paths[digest], "artifact": digest, "run": m.run, "iteration": m.iteration}
            for digest, m in first.items()
        ]
        schema = pa.schema([pa.field("path", pa.string()), *PROVENANCE])
        self._fill(f"{view.name}_files", pa.Table.from_pylist(source, schema=schema))
        own = TABLES[view.name].schema.names
        columns = ", ".join(
            f'{"r" if field.name in own else "f"}."{field.name}"' for field in view.schema
        )
        listed = ", ".join(_quoted(path) for path in paths.values())
        self._db.execute(
            f"CREATE VIEW {view.name} AS SELECT {columns} "  # noqa: S608 (names of this module)
            f"FROM read_parquet([{listed}], filename = true, union_by_name = true, "
            f"hive_partitioning = false) AS r JOIN {view.name}_files AS f ON f.path = r.filename"
        )

    def _view_of_turns(self) -> None:
        before = [field.name for field in TURNS_VIEW.schema][: len(PROVENANCE) + 2]
        names = ", ".join(before)
        self._db.execute(
            f"CREATE VIEW {TURNS_VIEW.name} AS SELECT {names}, turn.* "  # noqa: S608
            f"FROM (SELECT {names}, unnest(turns) AS turn FROM trajectories)"
        )


def _plain_integers(table: pa.Table) -> pa.Table:
    """Sums of integers as plain 64-bit integers, which DuckDB makes wider."""
    for index, field in enumerate(table.schema):
        if field.type == _WHOLE:
            table = table.set_column(index, field.name, table[index].cast(pa.int64()))
    return table


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _line(error: duckdb.Error) -> str:
    """DuckDB's message without its drawing, with its suggestion where it has one."""
    first, *more = str(error).splitlines()
    hints = [line for line in more if line.startswith(("Did you mean", "Candidate bindings"))]
    return " ".join([first, *hints])
