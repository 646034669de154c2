"""Pages of the local web under their lasting addresses, wherever its site is today.

The site listens on a port that differs from run to run; what a crawl records must not.
"""

from __future__ import annotations

from agents.web.facts.names import WIKI_ROOT
from agents.web.html import path_of


class LocalPages:
    """Turns the lasting addresses of the local web's pages into those of its site, and back.

    Args:
        site_url: Address of the site, without a slash at its end; None: there is none.
    """

    def __init__(self, site_url: str | None) -> None:
        self._site = None if site_url is None else f"{site_url}/"

    def to_fetch(self, url: str) -> str:
        """Where the page of a lasting address is fetched."""
        if self._site is None or not url.startswith(WIKI_ROOT):
            return url
        return self._site + ("" if url == WIKI_ROOT else path_of(url)[1:])

    def lasting(self, url: str) -> str:
        """The lasting address of what lies on the site; others stay as they are."""
        if self._site is None or not url.startswith(self._site):
            return url
        rest = url.removeprefix(self._site)
        # Only the front page lies outside of /wiki/; search is no page.
        return WIKI_ROOT + rest.removeprefix("wiki/")
