"""Reads one page once with Chromium: opened, run for a while, and its document taken."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agents.config import VisitConfig
from agents.fetching.browser import ChromiumBrowser, Tab, first_line
from agents.fetching.checking_proxy import FAILED_HEADER, REFUSED_HEADER
from agents.fetching.extraction import Extractor, kind_of
from agents.fetching.guard import Guard
from agents.fetching.http_source import HttpSource, Redirect, raise_for_status
from agents.fetching.outcomes import FetchedPage, PageRefused, TransientFailure

if TYPE_CHECKING:
    from playwright.async_api import Page, Request, Response

_DOCUMENT = """([mostElements, mostChars]) => {
  const count = document.getElementsByTagName('*').length;
  if (count > mostElements) return {count, html: ''};
  return {count, html: document.documentElement.outerHTML.slice(0, mostChars)};
}"""
_HAS_SCRIPTS = "() => document.scripts.length > 0"
# What Chromium says when it would save a document instead of showing it.
_NOT_SHOWN = ("net::ERR_ABORTED", "Download is starting")
# A refusal without a body; what it says is in its head.
_NO_BODY = "net::ERR_HTTP_RESPONSE_CODE_FAILURE"
_REFUSALS = {
    "net::ERR_TOO_MANY_REDIRECTS": "its redirects lead in a circle",
    "net::ERR_UNSAFE_PORT": "browsers do not open that port",
    "net::ERR_UNKNOWN_URL_SCHEME": "it leads to an address that is no web page's",
    "net::ERR_DISALLOWED_URL_SCHEME": "it leads to an address that is no web page's",
    "net::ERR_UNSAFE_REDIRECT": "it leads to an address that is no web page's",
    "net::ERR_CERT": "its certificate is not valid",
    "net::ERR_SSL": "it speaks no TLS that browsers accept",
}


class _ScriptsDoNotEnd(Exception):  # noqa: N818 - the page is at fault
    """The server has answered, but its page does not come to rest."""


class _Way:
    """The way to a document: where the page's own frame was led, and the last answer there."""

    def __init__(self, page: Page, url: str) -> None:
        self._page = page
        self.url = url
        self.response: Response | None = None
        page.on("request", self._note_request)
        page.on("response", self._note_response)

    def close(self) -> None:
        self._page.remove_listener("request", self._note_request)
        self._page.remove_listener("response", self._note_response)

    def _note_request(self, request: Request) -> None:
        if request.is_navigation_request() and request.frame == self._page.main_frame:
            self.url, self.response = request.url, None

    def _note_response(self, response: Response) -> None:
        if response.url == self.url and response.request.is_navigation_request():
            self.response = response


class BrowserSource:
    """Reads pages with a browser.

    Args:
        guard: Decides where connections may go.
        config: Limits.
        extractor: Takes the text out of documents.
        plain: Reads what a browser would save instead of showing it, such as PDFs.
        site_url: Address of the local web's site, whose pages may share a context.
    """

    def __init__(
        self,
        guard: Guard,
        config: VisitConfig,
        extractor: Extractor,
        plain: HttpSource,
        site_url: str | None = None,
    ) -> None:
        self._guard = guard
        self._config = config
        self._extractor = extractor
        self._plain = plain
        self._site = None if site_url is None else f"{site_url}/"
        self._browser = ChromiumBrowser(guard, config)

    async def read(self, url: str) -> FetchedPage | Redirect:
        """Opens a page; one whose scripts do not end is opened again without them."""
        self._guard.check_url(url)
        ours = self._site is not None and url.startswith(self._site)
        try:
            async with self._browser.tab(keep=ours) as tab:
                found = await self._open(tab, url)
        except _ScriptsDoNotEnd:
            try:
                async with self._browser.tab(keep=False, scripts=False) as tab:
                    found = await self._open(tab, url)
            except _ScriptsDoNotEnd as error:
                raise TransientFailure("it does not come to rest") from error
        if found is None:
            return await self._plain.read(url)
        end, html = found
        return await self._extractor.extract(html.encode(), "text/html; charset=utf-8", end)

    async def close(self) -> None:
        """Ends the browser."""
        await self._browser.close()

    async def _open(self, tab: Tab, url: str) -> tuple[str, str] | None:
        """The final address and the document; None where a browser does not show it."""
        from playwright.async_api import Error

        way = _Way(tab.page, url)
        try:
            await tab.page.goto(url, wait_until="commit", timeout=self._config.timeout_s * 1000)
        except Error as error:
            if any(text in error.message for text in _NOT_SHOWN):
                return None
            if _NO_BODY not in error.message or way.response is None:
                raise self._failure(way.url, error) from error
        finally:
            way.close()
        if way.response is None:
            raise TransientFailure("Chromium got no answer")
        if not self._is_shown(way.response):
            return None
        try:
            async with asyncio.timeout(self._config.browser_script_s):
                return await self._document(tab)
        except TimeoutError as error:
            raise _ScriptsDoNotEnd from error
        except Error as error:
            raise self._failure(url, error) from error

    def _is_shown(self, response: Response) -> bool:
        headers = response.headers
        if REFUSED_HEADER in headers:
            raise PageRefused(headers[REFUSED_HEADER])
        if FAILED_HEADER in headers:
            raise TransientFailure(headers[FAILED_HEADER])
        raise_for_status(response.status, headers.get("retry-after", ""))
        return kind_of(headers.get("content-type", ""), response.url) == "html"

    async def _document(self, tab: Tab) -> tuple[str, str]:
        await tab.page.wait_for_load_state("domcontentloaded")
        if self._config.browser_settle_s and await tab.page.evaluate(_HAS_SCRIPTS):
            await self._settle(tab)
        limits = [self._config.browser_max_elements, self._config.max_page_bytes]
        document: dict[str, Any] = await tab.page.evaluate(_DOCUMENT, limits)
        if not document["html"]:
            raise PageRefused(f"it has {document['count']} elements, expected at most {limits[0]}")
        return tab.page.url, document["html"]

    async def _settle(self, tab: Tab) -> None:
        from playwright.async_api import TimeoutError as NotQuiet

        try:
            await tab.page.wait_for_load_state(
                "networkidle", timeout=self._config.browser_settle_s * 1000
            )
        except NotQuiet:
            return  # What is there by now is what is read.

    def _failure(self, url: str, error: Exception) -> Exception:
        reason = first_line(error)
        for name, meaning in _REFUSALS.items():
            if name in reason:
                return PageRefused(meaning)
        if "net::ERR_TUNNEL_CONNECTION_FAILED" in reason:
            parts = urlsplit(url)
            refusal = self._browser.proxy.refusal_of(parts.hostname or "", parts.port or 443)
            if refusal:
                return PageRefused(refusal)
        return TransientFailure(f"Chromium could not open it: {reason}")
