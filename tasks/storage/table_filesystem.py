"""Tables of the store as Arrow opens them: each is fetched when it is read, not when it is named.

A dataset of many tables whose fragments say what they hold leaves most of them closed: of a
remote store, only those that a query reads travel here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import pyarrow as pa
from pyarrow.fs import FileInfo, FileSystem, FileSystemHandler, FileType, PyFileSystem

from tasks.manifest import StoredFile
from tasks.storage.local_files import LocalFiles


def table_filesystem(local: LocalFiles, files: Sequence[StoredFile]) -> FileSystem:
    """A file system of the given tables, each under its path in the store; read-only.

    Args:
        local: Where the store's content lies on this machine.
        files: The Parquet files of the tables.
    """
    return PyFileSystem(_Tables(local, files))


class _Tables(FileSystemHandler):  # type: ignore[misc]
    """What Arrow asks of a file system, for files that are known beforehand."""

    def __init__(self, local: LocalFiles, files: Sequence[StoredFile]) -> None:
        self._local = local
        self._files = {file.path: file for file in files}

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    __hash__ = None  # type: ignore[assignment]

    def get_type_name(self) -> str:
        """Name of the sort of file system."""
        return "evolvesearch-tables"

    def normalize_path(self, path: str) -> str:
        """The path as it is known here."""
        return path

    def get_file_info(self, paths: list[str]) -> list[FileInfo]:
        """Sizes of files; what is not known is not there."""
        return [
            FileInfo(path, FileType.File, size=self._files[path].num_bytes)
            if path in self._files
            else FileInfo(path, FileType.NotFound)
            for path in paths
        ]

    def get_file_info_selector(self, selector: Any) -> list[FileInfo]:
        """All files; there are no folders."""
        return self.get_file_info(list(self._files))

    def open_input_file(self, path: str) -> pa.NativeFile:
        """Opens a file, fetched first where it is not on this machine."""
        if path not in self._files:
            raise FileNotFoundError(path)
        return pa.OSFile(str(self._local.table(self._files[path])), "rb")

    def open_input_stream(self, path: str) -> pa.NativeFile:
        """Opens a file to be read from its start."""
        return self.open_input_file(path)

    def _refuse(self, *_: object) -> NoReturn:
        raise PermissionError("tables of the store are only read")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = _refuse
    delete_file = move = copy_file = open_output_stream = open_append_stream = _refuse
