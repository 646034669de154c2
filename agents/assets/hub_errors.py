"""What the Hub's client raises where a connection fails."""

from __future__ import annotations

from types import ModuleType


def transport_error() -> type[Exception]:
    """The base of its transport's errors.

    It is that of whichever HTTP library the client's version is built on (httpx, later httpx2),
    which is not ours to depend on.
    """
    from huggingface_hub import errors

    client: ModuleType = errors
    found: type[Exception] = client.HTTPError
    return found
