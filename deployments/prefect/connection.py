"""The Prefect server that is meant, and whether it answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agents.errors import StageError, UsageError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

USUAL = "http://127.0.0.1:4200/api"
"""Where `make server` serves."""


def api_url(server: str | None) -> str:
    """URL of a server's API.

    Args:
        server: As it was given, with or without `/api`; None: `PREFECT_API_URL`, or what Prefect's
            active profile says, else the usual one of this machine.

    Raises:
        UsageError: It is no URL.
    """
    from prefect.settings import PREFECT_API_URL

    if server is None:
        return str(PREFECT_API_URL.value() or USUAL)
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"server {server!r}: expected a URL such as {USUAL}")
    return server.rstrip("/") + ("" if parts.path.strip("/") else "/api")


@contextmanager
def connection(server: str | None) -> Iterator[SyncPrefectClient]:
    """A client of the server; within the block Prefect's own functions use the same one.

    Raises:
        UsageError: The server's name is no URL.
        StageError: It does not answer, or its Prefect is of another major version.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_URL, temporary_settings

    url = api_url(server)
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        if (fault := client.api_healthcheck()) is not None:
            raise StageError(
                f"no Prefect server answers at {url} ({fault}): start one with `make server`, or "
                "name another with --server or PREFECT_API_URL"
            ) from fault
        try:
            client.raise_for_api_version_mismatch()
        except RuntimeError as error:
            raise StageError(f"the server at {url}: {error}") from error
        try:
            yield client
        except PrefectHTTPStatusError as error:
            raise StageError(f"the server at {url} refused: {_detail(error)}") from error


def _detail(error: Exception) -> str:
    """What the server says was wrong, without the request's whole text."""
    response = getattr(error, "response", None)
    try:
        detail = response.json() if response is not None else {}
    except ValueError:
        detail = {}
    for key in ("detail", "exception_message", "exception_detail"):
        if isinstance(detail, dict) and detail.get(key):
            return str(detail[key])[:500]
    return str(error).splitlines()[0]
