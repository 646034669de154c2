"""A console for flows of a process worker, which goes on when nobody reads it any more.

A worker shows what its flows print, and so holds the other end of their pipes. Where the worker is
killed the next line cannot be written, and Prefect's handler then ends the process: Rich, which
draws the line, takes a closed pipe for the end of a terminal. The flow is not done, and its lines
still go to the server. A pool's jobs get it by `PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS`.
"""

from __future__ import annotations

import logging
import os
import sys

from prefect.logging.handlers import PrefectConsoleHandler


class SteadyConsoleHandler(PrefectConsoleHandler):
    """Prefect's console handler, without the end of the process."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record; where the pipe is closed, this and all later ones go nowhere."""
        try:
            super().emit(record)
        except SystemExit:
            _write_nowhere()


def _write_nowhere() -> None:
    """Leads both outputs to nowhere, for what others print as well."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
