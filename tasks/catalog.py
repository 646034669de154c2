"""SQL over the store: DuckDB views of the manifests, the records and the Parquet files.

The database lives in memory and is built from the store each time it is opened: it is never a
record of its own, and a run that writes meanwhile is not disturbed. Queries read only: one
`SELECT` at a time, and no file but the store's artifacts.

`catalog_index` lists the store and keeps what its documents say (`catalog_documents`), `views`
declares the views, `table_files` opens the Parquet files that a query needs, and no others.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from types import TracebackType

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from agents.errors import StoreError, UsageError
from tasks.artifacts import ArtifactStore
from tasks.catalog_documents import DOCUMENTS
from tasks.catalog_index import open_index
from tasks.storage.table_files import table_dataset
from tasks.training_steps import TRAINING_STEPS, live_steps
from tasks.trips import TripLog
from tasks.views import NESTED_VIEWS, RECORD_VIEWS, TABLE_VIEWS, TRIPS_VIEW, VIEWS, View

_OF_THE_FILES = (duckdb.IOException, duckdb.InvalidInputException, duckdb.InternalException)
_WHOLE = pa.decimal128(38, 0)
_NAMES_BY_TEXT = frozenset({"query", "query_table"})
"""Functions that take a table's name as text, which may have been put together."""
_NOT_IN_SQL = frozenset({"path", "version", "files", "rows_iteration"})
"""Columns of the index that no view shows."""


class Catalog:
    """The views of one store, as it was when opened.

    `questions`, `trajectories`, `turns`, `pages`, `page_views`, `rewards`, `verdicts`,
    `sft_examples`, `answers`, `benchmarks`, `training_steps`, `policies`, `stages`,
    `stage_artifacts`, `runs`, `run_policies`, `artifacts`, `lineage` and `sentinel_trips`; their
    columns are in `docs/schema.md`. A kind that nothing has written yet is an empty view of the
    declared columns.

    Args:
        store: The store.

    Attributes:
        index: What its documents say.

    Raises:
        StoreError: The store cannot be read.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        # The store is listed beside the setting up of the database: neither waits for the other.
        with ThreadPoolExecutor(1, thread_name_prefix="catalog") as pool:
            opening = pool.submit(open_index, store.objects)
            self._db = _database()
            self.index = opening.result()
        self._documents = {kind.name: getattr(self.index, kind.name) for kind in DOCUMENTS}
        self._waiting = {view.name: view for view in (*TABLE_VIEWS, TRIPS_VIEW)}

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
            self._open_tables(sql)
            relation = self._db.sql(sql)
            return _plain_integers(relation.to_arrow_table())
        except _OF_THE_FILES as error:
            raise StoreError(f"the store {self._store.uri}: {_line(error)}") from error
        except duckdb.Error as error:
            raise UsageError(f"query: {_line(error)}") from error

    def _open_tables(self, sql: str) -> None:
        """Puts rows and files behind every view whose name is a word of the query."""
        words = set(re.findall(r"\w+", sql.lower()))
        if words & _NAMES_BY_TEXT:
            words |= {view.name for view in VIEWS}
        needed = [view.sql for view in VIEWS if view.name in words]
        for name in list(self._documents):
            if any(f"internal.{name}" in text for text in needed):
                _fill(self._db, f"INSERT INTO internal.{name}", self._documents.pop(name))
        if words & {view.name for view in NESTED_VIEWS}:
            words.add("trajectories")
        for name in words & set(self._waiting):
            view = self._waiting.pop(name)
            if view is TRIPS_VIEW:
                trips = [asdict(trip) for trip in TripLog(self._store.objects).trips()]
                self._show(view, pa.Table.from_pylist(trips, schema=_plain(view.schema)))
                continue
            of_kind = self.index.manifests.filter(pc.field("kind") == name)
            live = None
            if name == TRAINING_STEPS:
                live = live_steps(self._store, of_kind, self.index.stages)
            if of_kind.num_rows or live is not None:
                self._open(view, of_kind, live)

    def _open(self, view: View, manifests: pa.Table, live: pa.Table | None) -> None:
        schema = _plain(view.schema)
        dataset: pads.Dataset = table_dataset(self._store, view.name, schema, manifests)
        if live is not None:
            more = pads.InMemoryDataset(live.select(schema.names).cast(schema))
            dataset = pads.UnionDataset(schema, [dataset, more])
        self._show(view, dataset)

    def _show(self, view: View, rows: pa.Table | pads.Dataset) -> None:
        self._db.unregister(view.name)
        self._db.register(view.name, rows)


def _database() -> duckdb.DuckDBPyConnection:
    """A database with all views, none of them with rows yet."""
    # Without this, a name in a query could mean a variable of this program. Filters made from
    # joins are of kinds that no Arrow dataset understands.
    database = duckdb.connect(config={"python_enable_replacements": "false"})
    database.execute("SET disabled_optimizers = 'join_filter_pushdown'")
    database.execute("CREATE SCHEMA internal")
    for kind in DOCUMENTS:
        _fill(database, f"CREATE TABLE internal.{kind.name} AS", kind.schema.empty_table())
    for view in (*TABLE_VIEWS, TRIPS_VIEW):
        database.register(view.name, _plain(view.schema).empty_table())
    for view in (*NESTED_VIEWS, *RECORD_VIEWS):
        database.execute(f"CREATE TEMP VIEW {view.name} AS {view.sql}")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
    return database


def _fill(database: duckdb.DuckDBPyConnection, statement: str, table: pa.Table) -> None:
    shown = [name for name in table.column_names if name not in _NOT_IN_SQL]
    database.register("incoming", table.select(shown))
    database.execute(f"{statement} SELECT * FROM incoming")  # noqa: S608 (names of this module)
    database.unregister("incoming")


def _plain(schema: pa.Schema) -> pa.Schema:
    """The same columns without remarks, and each may be null, as it was in an older store."""
    return pa.schema([pa.field(field.name, field.type) for field in schema])


def _plain_integers(table: pa.Table) -> pa.Table:
    """Sums of integers as plain 64-bit integers, which DuckDB makes wider."""
    for index, field in enumerate(table.schema):
        if field.type == _WHOLE:
            table = table.set_column(index, field.name, table[index].cast(pa.int64()))
    return table


def _line(error: duckdb.Error) -> str:
    """DuckDB's message without its drawing, with its suggestion where it has one."""
    first, *more = str(error).splitlines()
    hints = [line for line in more if line.startswith(("Did you mean", "Candidate bindings"))]
    return " ".join([first, *hints])
