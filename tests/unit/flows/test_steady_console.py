"""A flow's console whose reader is gone: the process goes on."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from deployments.prefect.templates import CONSOLE, PROCESS_ENVIRONMENT

SCRIPT = """
import sys
from prefect.logging.configuration import setup_logging
from prefect.logging import get_logger
setup_logging()
logger = get_logger()
logger.warning("first")
sys.stdin.readline()
for number in range(3):
    logger.warning("nobody reads %d", number)
    print("nor this", flush=True)
open(sys.argv[1], "w").write("went on")
"""


def test_the_name_is_that_of_the_class():
    module, _, name = CONSOLE.rpartition(".")
    assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("ours", [True, False])
def test_a_closed_pipe_does_not_end_the_process(tmp_path, ours):
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "end")],
        env={
            **os.environ,
            "PREFECT_HOME": str(tmp_path),
            "PREFECT_LOGGING_TO_API_ENABLED": "false",
            **(PROCESS_ENVIRONMENT if ours else {}),
        },
        stdin=subprocess.PIPE,
        stdout=writer,
        stderr=writer,
    )
    os.close(writer)
    assert b"first" in os.read(reader, 1000)
    os.close(reader)
    process.communicate(b"\n", timeout=60)
    assert (tmp_path / "end").exists() == ours, "Prefect's own handler ends the process"
