"""Which form a file has, by its first row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.errors import UsageError
from training.construction.formats.files import Form, json_rows
from training.construction.formats.problems import BadRow

_PARQUET_BEGINS = b"PAR1"


def form_of(path: Path) -> Form:
    """The form of a file.

    Raises:
        UsageError: The file cannot be read, or no row of it is of any form that is known.
    """
    try:
        with path.open("rb") as stream:
            if stream.read(len(_PARQUET_BEGINS)) == _PARQUET_BEGINS:
                return Form.PARQUET
        for _, row in json_rows(path):
            form = None if isinstance(row, BadRow) else _form(row)
            if form is not None:
                return form
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    raise UsageError(f"{path} has no row of a known form; expected one of {', '.join(Form)}")


def _form(row: Mapping[str, Any]) -> Form | None:
    if "conversations" in row:
        return Form.SHAREGPT
    if {"instruction", "output"} <= row.keys():
        return Form.ALPACA
    if "messages" in row:
        if row.get("type") == "chatml":
            return Form.WEBDANCER
        return Form.TRL_TOOLS if "tools" in row else Form.TRL_MESSAGES
    return Form.TRL_PROMPT_COMPLETION if {"prompt", "completion"} <= row.keys() else None
