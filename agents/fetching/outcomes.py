"""What becomes of a page that is to be read: its text, a definite no, or a failure on the way."""

from __future__ import annotations

from dataclasses import dataclass

from agents.fetching.outline import Outline


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page as it was read.

    Attributes:
        url: Where it was found in the end, redirects followed.
        title: Its title, empty where it has none.
        text: Its plain text.
        outline: Its links and what it says of itself, where the reader was asked for them.
        num_bytes: Bytes of its document, unpacked.
    """

    url: str
    title: str
    text: str
    outline: Outline | None = None
    num_bytes: int = 0


class PageProblem(Exception):  # noqa: N818 - most are no errors of ours
    """The page cannot be read, now or later; the policy is told why and may look elsewhere."""


class PageMissing(PageProblem):
    """The server says that there is no such page, or that it is for others."""


class PageRefused(PageProblem):
    """We do not go there: the guard, robots.txt or a limit forbids it."""


class RobotsRefused(PageRefused):
    """The site's robots.txt asks us not to."""


class KindRefused(PageRefused):
    """It is of a kind that holds no text for us, such as a picture or an archive."""


class TransientFailure(Exception):  # noqa: N818 - what failed lies outside
    """An attempt failed on the way; another one may succeed.

    Attributes:
        retry_after_s: How long the server asked to be left alone; None where it did not.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CircuitOpen(TransientFailure):
    """The host has failed so often that it is left alone for a while; no attempt was made."""
