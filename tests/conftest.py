"""What all tests share."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest
import survived
from chat_server import ChatServer

# A test run in the background of a script inherits an ignored SIGINT, and so would the programs
# that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what the tests ran against, and how many kills and faults were survived."""
    for line in survived.summary():
        terminalreporter.write_line(line)


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    """A chat API on loopback."""
    with ChatServer() as server:
        # A short poll: every test waits for it once, at the end.
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()
