"""Files of a remote store as a file system for Arrow: fetched when one is opened, never before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from tasks.local_files import LocalFiles
from tasks.manifest import StoredFile


class FetchingFiles(fs.FileSystemHandler):  # type: ignore[misc]
    """Reads tables by their paths in the store, through the cache of this machine.

    Args:
        local: Where copies lie.
        files: What may be opened, by path.
    """

    def __init__(self, local: LocalFiles, files: Mapping[str, StoredFile]) -> None:
        self._local = local
        self._files = dict(files)

    def get_type_name(self) -> str:
        """Name of this kind of file system."""
        return "evolvesearch"

    def normalize_path(self, path: str) -> str:
        """A path in the form in which it is asked for."""
        return path

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        """What is known of files without fetching them."""
        return [
            fs.FileInfo(path, fs.FileType.File, size=self._files[path].num_bytes) for path in paths
        ]

    def open_input_file(self, path: str) -> Any:
        """Opens a file, fetched first where it is not in the cache."""
        return pa.memory_map(str(self._file(path)))

    def open_input_stream(self, path: str) -> Any:
        """Opens a file as `open_input_file` does."""
        return self.open_input_file(path)

    def _file(self, path: str) -> Path:
        return self._local.table(self._files[path])

    def _refuse(self, *_: Any) -> Any:
        raise NotImplementedError("the store's tables are only read")

    get_file_info_selector = _refuse
    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = _refuse
    delete_file = move = copy_file = open_output_stream = open_append_stream = _refuse
