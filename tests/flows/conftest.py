"""One Prefect server and one rehearsal of the whole loop, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rehearsing import SIZES, Rehearsal

from flows.profiles import load_profile


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Starts the very server that a run starts, on a database of its own."""
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_HOME,
        PREFECT_SERVER_DATABASE_CONNECTION_URL,
        temporary_settings,
    )

    from flows.prefect_runtime import prefect_session

    home = tmp_path_factory.mktemp("prefect")
    database = f"sqlite+aiosqlite:///{home / 'prefect.db'}"
    settings = {
        PREFECT_HOME: home,
        PREFECT_SERVER_DATABASE_CONNECTION_URL: database,
        PREFECT_API_URL: None,
    }
    with temporary_settings(settings), prefect_session():
        yield PREFECT_API_URL.value()


@pytest.fixture(scope="session")
def rehearsal(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """Runs the whole loop once."""
    from flows.evolve import run_evolution

    store: Path = tmp_path_factory.mktemp("runs") / "store"
    config = load_profile("smoke", {**SIZES, "store.uri": str(store)})
    return Rehearsal(config, "rehearsal", run_evolution(config, "rehearsal"))
