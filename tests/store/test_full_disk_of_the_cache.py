"""A remote store read on a machine whose disk is full: one line, nothing half-copied."""

from __future__ import annotations

import pytest
from small_disk import mounted, small_disk

from agents.errors import StoreError
from tasks.artifacts import ArtifactStore

__all__ = ["small_disk"]  # pytest finds the fixture here


@pytest.mark.s3
def test_a_policy_that_does_not_fit_is_one_line_and_loads_once_there_is_room(
    s3_server, small_disk, tmp_path, model
):
    config = s3_server.config(tmp_path.name, small_disk / "cache")
    ref = ArtifactStore.open(config).write_policy(model, stage_key="k")
    store = ArtifactStore.open(config)
    with pytest.raises(StoreError, match=r"the disk is full; free some space [^\n]*$"):
        store.policy_folder(ref)
    assert [path for path in (small_disk / "cache").rglob("*") if path.is_file()] == []
    assert mounted("remount", "size=32m", at=small_disk)
    folder = store.policy_folder(ref)
    for file in model.iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()
