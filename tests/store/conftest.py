"""The places that the store's tests run against: a folder, and buckets on real servers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from store_servers import (
    AZURITE_ACCOUNT,
    AZURITE_KEY,
    KEYS,
    StoreServer,
    azurite_server,
    find_azurite,
    moto_server,
)
from survived import note

from tasks.storage.config import StoreConfig

DIRECT = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
"""A proxy that the machine is set up with must not stand between."""


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """An S3 server, with keys for it in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**DIRECT, **KEYS}.items():
            patch.setenv(name, value)
        with moto_server(tmp_path_factory.mktemp("s3")) as server:
            note(f"store server of the tests: {server.name}")
            yield server


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """Azurite, with its key in the environment."""
    program = find_azurite()
    assert program is not None
    keys = {"AZURE_STORAGE_ACCOUNT_NAME": AZURITE_ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": AZURITE_KEY}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**DIRECT, **keys}.items():
            patch.setenv(name, value)
        with azurite_server(program, tmp_path_factory.mktemp("azure")) as server:
            note(f"store server of the tests: {server.name}")
            yield server


@dataclass(frozen=True)
class Place:
    """Makes new, empty stores of one sort.

    Attributes:
        folder: Where local stores and caches go.
        server: The server; None for local stores.
    """

    folder: Path
    server: StoreServer | None

    def new(self) -> StoreConfig:
        """How to reach a store that nobody has used."""
        name = uuid.uuid4().hex
        if self.server is None:
            return StoreConfig(uri=str(self.folder / name), cache=str(self.folder / "cache"))
        return self.server.config(name, self.folder / "cache")


PLACES = [
    pytest.param(None, id="file"),
    pytest.param("s3_server", id="s3", marks=pytest.mark.s3),
]
if find_azurite():
    PLACES.append(pytest.param("azure_server", id="az", marks=pytest.mark.azure))
else:
    note("Azure was not tested: no Azurite (npm install azurite; EVOLVESEARCH_AZURITE names it)")


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A local folder, then a bucket of each sort."""
    return Place(tmp_path, request.getfixturevalue(request.param) if request.param else None)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder whose weights take two parts to send."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * (6 << 12))
    return folder
