"""A small run in a local store, for tests that look into a store or care for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sample_run import SampleRun, make_sample_run

from tasks.artifacts import ArtifactStore


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., SampleRun]:
    """Writes a run of any name into a store, which is `tmp_path / "store"` where none is named."""

    def make(name: str = "demo", store: ArtifactStore | None = None) -> SampleRun:
        store = store or ArtifactStore.open(tmp_path / "store")
        return make_sample_run(store, tmp_path / "models", name)

    return make


@pytest.fixture
def sample_run(make_run: Callable[..., SampleRun]) -> SampleRun:
    return make_run()
