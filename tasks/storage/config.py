"""The configuration of the artifact store, read without loading the object-store library."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, model_validator

from agents.configuration import Config
from agents.errors import UsageError

REMOTE = {"s3": "S3", "gs": "Google Cloud Storage", "az": "Azure Blob Storage"}
"""Object storage by the scheme of its URIs."""

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class StoreConfig(Config):
    """Where artifacts are kept; keys come from the environment alone (docs/storage.md)."""

    uri: str = "evolvesearch-store"
    """The store: a folder, relative to the current one or absolute, or a URI: `file:///folder`,
    `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`."""
    endpoint: str = ""
    """URL of a service that speaks S3's, Google's or Azure's protocol elsewhere (MinIO, Ceph, an
    emulator); empty: the one that the environment names, else the cloud's own."""
    region: str = ""
    """Region of an S3 bucket; empty: `$AWS_REGION`, else us-east-1."""
    allow_http: bool = False
    """Talk to an endpoint on another machine without TLS; to this machine it is always allowed."""
    timeout_s: float = Field(default=60.0, gt=0.0)
    """Seconds that one request may take; a table is sent in one, a policy in many."""
    retry_s: float = Field(default=120.0, ge=0.0, le=280.0)
    """Seconds during which a request that fails is sent again, with growing pauses; 0: once."""
    num_transfers: int = Field(default=8, ge=1, le=64)
    """Parts of files that are sent or fetched at once."""
    part_mib: int = Field(default=8, ge=5, le=512)
    """Size of such a part, in MiB."""
    cache: str = ""
    """Folder for local copies of what is read from a remote store; empty: `store` in the folder
    that fetched inputs are cached in."""
    cache_gib: float = Field(default=20.0, gt=0.0)
    """Size of that folder, in GiB, above which what was not used for longest is removed; what was
    used in the last hour stays."""

    @model_validator(mode="after")
    def _check(self) -> StoreConfig:
        # Of the whole section: the message for a single field would repeat its value.
        _check_uri(self.uri)
        if self.endpoint:
            self._check_endpoint()
        return self

    def _check_endpoint(self) -> None:
        parts = urlsplit(self.endpoint)
        if parts.username or parts.password or parts.query:
            raise ValueError("endpoint: it must hold no keys; they come from the environment")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("endpoint: expected a URL such as https://minio.example.org:9000")
        if parts.scheme == "http" and not (self.allow_http or parts.hostname in _LOOPBACK):
            raise ValueError(
                "endpoint: without TLS, keys and data could be read on the way; "
                "use https://, or set store.allow_http=true"
            )

    @classmethod
    def of(cls, where: StoreConfig | str | Path) -> StoreConfig:
        """A configuration from itself, or from a plain folder or URI.

        Raises:
            UsageError: It names no store.
        """
        if isinstance(where, StoreConfig):
            return where
        try:
            return cls(uri=str(where))
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UsageError(f"store: {message}") from None

    @property
    def is_remote(self) -> bool:
        """Whether the store lies on object storage."""
        return urlsplit(self.uri).scheme in REMOTE


def _check_uri(uri: str) -> None:
    if not uri.strip():
        raise ValueError("uri: expected a folder or a URI, got an empty name")
    scheme, separator, _ = uri.partition("://")
    if not separator or scheme == "file":
        return
    known = ", ".join(f"{name}://" for name in ("file", *REMOTE))
    if scheme not in REMOTE:
        raise ValueError(f"uri: expected a folder or one of {known}; got {scheme}://")
    parts = urlsplit(uri)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("uri: it must hold no keys; they come from the environment")
    if not parts.netloc:
        raise ValueError(f"uri: expected {scheme}://bucket/prefix, got no bucket")
