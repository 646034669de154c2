"""Errors of the storage as one line: what failed, why, and what to do; never a key.

The object-store library reports a failure as its whole chain of causes, over many lines, with
the URL that it asked: of that, the cause is recognised and told in this project's words.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError

from agents.errors import StoreError

_CAUSES: tuple[tuple[str, str], ...] = (
    (
        re.escape(os.strerror(errno.ENOSPC)) + r"|XMinioStorageFull|InsufficientStorage",
        "the disk is full; free some space and run the same command again",
    ),
    (
        r"NoSuchBucket|ContainerNotFound|bucket does not exist",
        "there is no such bucket; make it first, or name another with --store",
    ),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|AuthenticationFailed"
        r"|401 Unauthorized|Unauthenticated",
        "the keys in the environment are not accepted; docs/storage.md lists what is read",
    ),
    (
        r"169\.254\.169\.254|metadata\.google|latest/api/token|security-credentials|MissingAccount"
        r"|Account must be specified|[Mm]issing ?[Cc]redential|token request",
        "no keys were found in the environment; docs/storage.md lists what is read",
    ),
    (
        r"AccessDenied|403 Forbidden|AuthorizationFailure|AuthorizationPermission",
        "permission denied: the keys in the environment may not do this",
    ),
    (r"[Pp]ermission denied", "permission denied"),
    (
        r"PermanentRedirect|301 Moved|incorrectly configured region|AuthorizationHeaderMalformed"
        r"|IllegalLocationConstraint",
        "the bucket lies in another region; name it with --set store.region=REGION",
    ),
    (
        r"ConnectionRefused|[Cc]onnection refused",
        "connection refused; is a server running there? store.endpoint names another",
    ),
    (
        r"dns error|failed to lookup|Name or service not known",
        "no machine of that name was found; check store.endpoint and the network",
    ),
    (
        r"TimedOut|operation timed out|deadline has elapsed|timed out",
        "no answer in time; check the network, or raise store.timeout_s",
    ),
    (r"certificate", "its certificate is not trusted; see docs/storage.md"),
    (
        r"SlowDown|ServerBusy|TooManyRequests|status code: 5\d\d|error code: 5\d\d",
        "the server keeps failing; run the same command again later",
    ),
    (
        r"ConnectionReset|IncompleteMessage|ConnectionAborted|[Cc]onnection reset|BrokenPipe"
        r"|UnexpectedEof|unexpected EOF|end of file before message|kind: Decode|kind: Body",
        "the connection was cut again and again; run the same command again",
    ),
    (r"Precondition", "it was changed while it was being read; run the same command again"),
    (
        r"builder error|URL scheme is not allowed",
        "the endpoint is not https; set store.allow_http=true to talk to it without TLS",
    ),
)


@contextmanager
def one_line(action: str, where: str) -> Iterator[None]:
    """Turns the errors of a block into one StoreError that says what to do.

    Args:
        action: What the block does (`read`, `write`, …).
        where: What it does it to.

    Raises:
        StoreError: The block failed for reasons of the storage.
    """
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        # The library's text could hold a signed URL, and a traceback would show it.
        raise StoreError(f"cannot {action} {where}: {reason_of(error)}") from None


def reason_of(error: Exception) -> str:
    """Why the storage failed, in one line without URLs' queries."""
    text = str(error)
    for pattern, reason in _CAUSES:
        if re.search(pattern, text):
            return reason
    if answer := re.search(r"status code: (\d+)[^<]*<.*?<Code>(\w+)</Code>", text, re.DOTALL):
        return f"the server answered {answer[1]} {answer[2]}"
    first = text.split("\n", 1)[0] or type(error).__name__
    return re.sub(r"\?[^\s<>\"]+", "", first)
