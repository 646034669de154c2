"""What all tests share."""

from __future__ import annotations

import signal

# A test run in the background of a script inherits an ignored SIGINT, and so would the programs
# that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
