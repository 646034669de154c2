"""Progress of a long stage as a Prefect progress artifact, beside what else shows it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from agents.progress import ProgressSink, set_progress

_FIRST_AFTER_S = 5.0
"""Shorter stages need no artifact."""
_EVERY_S = 5.0
"""Each update is a request to Prefect's server."""


@contextmanager
def stage_progress(stage: str) -> Iterator[None]:
    """Publishes the progress of this block under the stable key `<stage>-progress`.

    Outside a Prefect flow run nothing is published.
    """
    from prefect.context import FlowRunContext, TaskRunContext

    if FlowRunContext.get() is None and TaskRunContext.get() is None:
        yield
        return
    sink = _ArtifactProgress(stage)
    sink.below = set_progress(sink)
    try:
        yield
    finally:
        set_progress(sink.below)
        sink.close()


class _ArtifactProgress:
    """Passes progress on, and publishes the newest bar's every few seconds."""

    below: ProgressSink

    def __init__(self, stage: str) -> None:
        self._key = f"{stage.replace('_', '-')}-progress"
        self._descriptions: dict[int, tuple[str, str, float | None]] = {}
        self._artifact: UUID | None = None
        self._newest = ""
        self._due = time.monotonic() + _FIRST_AFTER_S

    def start(self, description: str, total: float | None, unit: str) -> int:
        """Opens a bar."""
        bar = self.below.start(description, total, unit)
        self._descriptions[bar] = (description, unit, total)
        return bar

    def update(
        self, bar: int, completed: float, total: float | None = None, detail: str = ""
    ) -> None:
        """Passes an update on, and publishes it where one is due."""
        self.below.update(bar, completed, total, detail)
        description, unit, known = self._descriptions[bar]
        if total is not None:
            known = total
            self._descriptions[bar] = (description, unit, total)
        if known and time.monotonic() >= self._due:
            self._newest = description
            text = f"{description}: {completed:,.0f} of {known:,.0f} {unit}"
            self._publish(min(100.0, 100.0 * completed / known), text)

    def finish(self, bar: int) -> None:
        """Closes a bar."""
        self.below.finish(bar)

    def close(self) -> None:
        """Publishes the end, where a beginning was published."""
        if self._artifact is not None:
            self._publish(100.0, f"{self._newest}: done")

    def _publish(self, percent: float, text: str) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        if self._artifact is None:
            # A coroutine only where an event loop runs in this thread, which no flow here has.
            created = create_progress_artifact(percent, key=self._key, description=text)
            self._artifact = cast("UUID", created)
        else:
            update_progress_artifact(self._artifact, percent, description=text)
        self._due = time.monotonic() + _EVERY_S
