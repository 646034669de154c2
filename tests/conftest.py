"""What all tests share."""

from __future__ import annotations

import signal

import pytest
import survived

# A test run in the background of a script inherits an ignored SIGINT, and so would the programs
# that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what the tests ran against, and how many kills and faults were survived."""
    for line in survived.summary():
        terminalreporter.write_line(line)
