"""The places that the store's tests run against: a folder, and a bucket on a real server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from s3_server import KEYS, S3Server, moto_server
from survived import note

from tasks.store_config import StoreConfig


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server, with keys for it in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        # A proxy that the machine is set up with must not stand between.
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1,localhost")
        with moto_server(tmp_path_factory.mktemp("s3") / "log.txt") as server:
            note(f"S3 server of the tests: {server.name}")
            yield server


@dataclass(frozen=True)
class Place:
    """Makes new, empty stores of one sort.

    Attributes:
        folder: Where local stores and caches go.
        server: The S3 server; None for local stores.
    """

    folder: Path
    server: S3Server | None

    def new(self) -> StoreConfig:
        """How to reach a store that nobody has used."""
        name = uuid.uuid4().hex
        if self.server is None:
            return StoreConfig(uri=str(self.folder / name), cache=str(self.folder / "cache"))
        return self.server.config(name, self.folder / "cache")


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A local folder, then a bucket."""
    remote = request.param == "s3"
    return Place(tmp_path, request.getfixturevalue("s3_server") if remote else None)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder whose weights take three parts to send."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * (11 << 12))
    return folder
