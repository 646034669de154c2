"""Opens what a store's configuration names: a local folder, or a bucket of object storage.

Keys are read from the environment by the object-store library itself and are never passed on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from agents.errors import UsageError
from tasks.storage.config import StoreConfig
from tasks.storage.errors import one_line

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

Handle = LocalStore | S3Store | GCSStore | AzureStore
"""An open store of the object-store library."""

_CONNECT_S = 5.0
_FIRST_WORD_S = 8.0
_reached: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class Place:
    """A store that has been opened.

    Attributes:
        uri: Its URI, without a `/` at the end.
        root: The folder it lies in; None for object storage.
        handle: What objects are read and written through.
    """

    uri: str
    root: Path | None
    handle: Handle


def open_place(config: StoreConfig) -> Place:
    """Opens a store; a folder is made where it does not exist, a bucket is not.

    Raises:
        UsageError: The URI names no store.
        StoreError: It cannot be made or reached.
    """
    if not config.is_remote:
        root = _local_root(config.uri)
        with one_line("open", str(root)):
            return Place(root.as_uri(), root, LocalStore(str(root), mkdir=True))
    uri = config.uri.rstrip("/")
    with one_line("open", uri):
        _reach(config, uri)
        return Place(uri, None, _remote(config, config.retry_s))


def _reach(config: StoreConfig, uri: str) -> None:
    """Asks for the first names, so that a wrong bucket or key ends a command as it starts.

    Tried for seconds only: the patience that a run needs later would keep a person waiting.
    """
    known = (uri, config.endpoint)
    if known not in _reached:
        handle = _remote(config, min(config.retry_s, _FIRST_WORD_S))
        next(iter(obstore.list(handle, "runs")), None)
        _reached.add(known)


def _remote(config: StoreConfig, retry_s: float) -> Handle:
    parts = urlsplit(config.uri)
    prefix = parts.path.strip("/") or None
    client: ClientConfig = {
        "timeout": timedelta(seconds=config.timeout_s),
        "connect_timeout": timedelta(seconds=min(_CONNECT_S, config.timeout_s)),
    }
    # Without TLS only where the configuration's own check has let it pass.
    if config.allow_http or urlsplit(config.endpoint).scheme == "http":
        client["allow_http"] = True
    retry: RetryConfig = {
        "max_retries": 10 if retry_s else 0,
        "retry_timeout": timedelta(seconds=retry_s),
    }
    options: dict[str, Any] = {"prefix": prefix, "client_options": client, "retry_config": retry}
    if config.endpoint:
        options["base_url" if parts.scheme == "gs" else "endpoint"] = config.endpoint
    if parts.scheme == "gs":
        return GCSStore(parts.netloc, **options)
    if parts.scheme == "az":
        return AzureStore(parts.netloc, **options)
    # The library also takes a region from the environment, but knows no default of its own.
    named = config.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return S3Store(parts.netloc, region=named or "us-east-1", **options)


def _local_root(uri: str) -> Path:
    text = uri if "://" not in uri else unquote(urlsplit(uri).path)
    path = Path(os.path.abspath(Path(text).expanduser()))
    if path.exists() and not path.is_dir():
        raise UsageError(f"store {path}: expected a folder, got a file")
    return path
