"""Publishes artifacts in Prefect, each once, and never at the cost of a run.

A run that is started again finds its stages done, and would show the same tables again: what is
there under a key with the same content is left as it is. What a run itself publishes is the
exception: it stands on the page of each of its flow runs. Artifacts are for people to look at;
where one cannot be made or taken, the run says so and goes on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import httpx
from prefect import runtime
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.exceptions import PrefectException
from prefect.logging import get_logger

from agents.errors import StoreError
from tasks.markdown_text import inline

_logger = get_logger(__name__)


def artifact_key(series: str, run: str) -> str:
    """A key as Prefect wants them: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"{series}-{run}".lower()).strip("-")


def publish_table(
    key: str, rows: Sequence[Mapping[str, Any]], description: str, *, of_run: bool = False
) -> None:
    """Publishes a table.

    Args:
        key: Its key.
        rows: Its rows.
        description: What it is; shown as it is, not as Markdown.
        of_run: Publish it although another flow run has.
    """
    described = inline(description)

    def same(data: Any, about: str) -> bool:
        return about == described and _rows(data) == rows

    def publish() -> None:
        if not _is_there(key, same, of_run=of_run):
            create_table_artifact([dict(row) for row in rows], key=key, description=described)

    _patiently(key, publish)


def publish_markdown(
    key: str,
    markdown: str | Callable[[], str],
    description: str,
    *,
    of: str = "",
    of_run: bool = False,
) -> None:
    """Publishes Markdown, whose untrusted parts must have been escaped.

    Args:
        key: Its key.
        markdown: The text, or what makes it where that is not to be done in vain.
        description: What it is; shown as it is, not as Markdown.
        of: Digest of all that it is made from, which stands for the text; empty: the text itself.
        of_run: Publish it although another flow run has.
    """
    described = inline(f"{description} ({of[:12]})" if of else description)

    def publish() -> None:
        text = "" if of else _made(markdown)

        def same(data: Any, about: str) -> bool:
            return about == described and (bool(of) or data == text)

        if _is_there(key, same, of_run=of_run):
            return
        create_markdown_artifact(text or _made(markdown), key=key, description=described)

    _patiently(key, publish)


def _made(markdown: str | Callable[[], str]) -> str:
    return markdown if isinstance(markdown, str) else markdown()


def _is_there(key: str, same: Callable[[Any, str], bool], *, of_run: bool) -> bool:
    """Whether an artifact of this key, or of this flow run, has the same data and description."""
    this_run = runtime.flow_run.id if of_run else None
    wanted = ArtifactFilter(
        key=ArtifactFilterKey(any_=[key]),
        flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(this_run)]) if this_run else None,
    )
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    return any(same(artifact.data, artifact.description or "") for artifact in found)


def _rows(data: Any) -> Any:
    return json.loads(data) if isinstance(data, str) else data


def _patiently(key: str, publish: Callable[[], None]) -> None:
    try:
        publish()
    except (httpx.HTTPError, PrefectException, StoreError) as error:
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        _logger.warning("artifact %s could not be published: %s", key, reason)
