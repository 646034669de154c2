"""The stage of the fault tests, which a worker runs: it waits for a word and then is done.

It is run as every stage is: under a lease, in a heavy child, with a record. The word is a file, so
that a test decides how long the stage takes, however slow the machine is. This module is imported
by the heavy child and so knows nothing of Prefect; `waiting_flows` makes flows of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.trajectory import Question
from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.heavy.run import run_heavy
from tasks.leases import Lease
from tasks.rows import question_row
from tasks.stage import StageOutcome, StageWork, run_stage

STAGE = "waiting"
MADE = "questions"


def word_of(store: Path) -> Path:
    """The file that ends the stages of a store."""
    return store / "word"


def wait_for_word(config: StageConfig, context: StageContext) -> StageOutcome:
    """Runs the stage."""
    store = ArtifactStore.open(config.store)

    def compute(lease: Lease) -> None:
        payload = {"word": str(word_of(Path(config.store.uri)))}
        run_heavy("waiting_stage:wait", payload, description=STAGE, lease=lease)
        rows = [question_row(Question("q", "Done?", ("yes",)))]
        store.write_table(MADE, rows, stage_key=lease.key, name=MADE, run=context.run)

    work = StageWork(STAGE, {}, [], (MADE,), config.seed, compute)
    return run_stage(store, context, work)


def wait(payload: Mapping[str, Any], _emit: object) -> dict[str, Any]:
    """The heavy child."""
    while not Path(payload["word"]).exists():
        time.sleep(0.05)
    return {}
