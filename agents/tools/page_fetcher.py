"""Fetches pages of the local web as HTML over loopback and takes their text out."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlsplit

import httpx

from agents.tools.base import ToolFailure

NUM_ATTEMPTS = 2
"""A request that failed on the way is sent once more: a kept-alive connection may have ended."""

_SKIPPED = frozenset({"script", "style", "nav", "header", "footer", "form", "title", "head"})
_BLOCKS = frozenset(
    {"p", "div", "li", "ul", "ol", "br", "h1", "h2", "h3", "h4", "tr", "td", "th", "dd", "dt"}
)


class _TextOfPage(HTMLParser):
    """Collects a page's title and the text of its `<main>`, or of all where it has none."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self._open: list[str] = []
        self._all: list[str] = []
        self._main: list[str] = []
        self._heading: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self._add("\n")
        if tag not in ("br", "hr", "img", "input", "link", "meta"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass
        if tag in _BLOCKS:
            self._add("\n")

    def handle_data(self, data: str) -> None:
        if "h1" in self._open:
            self._heading.append(data)
        elif not _SKIPPED.intersection(self._open):
            self._add(data)

    def _add(self, text: str) -> None:
        self._all.append(text)
        if "main" in self._open:
            self._main.append(text)

    def result(self) -> tuple[str, str]:
        joined = "".join(self._main) or "".join(self._all)
        lines = (" ".join(line.split()) for line in joined.splitlines())
        return " ".join("".join(self._heading).split()), "\n".join(line for line in lines if line)


def text_of_html(html: str) -> tuple[str, str]:
    """Takes the heading and the plain text out of a page.

    Returns:
        Text of its `<h1>` (empty where there is none), and the text of its `<main>` element, or
        of the whole page where it has none; one line for each block, without scripts, styles,
        navigation and forms.
    """
    parser = _TextOfPage()
    parser.feed(html)
    parser.close()
    return parser.result()


class PageFetcher:
    """Fetches from one site, and from nowhere else.

    Args:
        base_url: Address of the site, such as `http://127.0.0.1:8000`.
        timeout_s: Seconds for connecting and between two pieces of a response.
        max_bytes: Most bytes read of one page; the rest is left unread.
    """

    def __init__(self, base_url: str, timeout_s: float, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        # The environment's proxies have no business with loopback.
        self._client = httpx.Client(
            base_url=base_url, timeout=timeout_s, trust_env=False, follow_redirects=False
        )

    def fetch(self, url: str) -> tuple[str, str]:
        """Fetches a page by its canonical address; may be called from several threads.

        Returns:
            Its title and its plain text.

        Raises:
            ToolFailure: The site cannot be reached or does not give the page.
        """
        path = "/wiki" + urlsplit(url).path
        for attempt in range(1, NUM_ATTEMPTS + 1):
            try:
                return text_of_html(self._get(path))
            except httpx.TransportError as error:
                if attempt == NUM_ATTEMPTS:
                    reason = str(error) or type(error).__name__
                    raise ToolFailure(
                        f"could not fetch {self._client.base_url}{path}: {reason}"
                    ) from error
        raise AssertionError("the last attempt returns or raises")

    def _get(self, path: str) -> str:
        with self._client.stream("GET", path) as response:
            if response.status_code != httpx.codes.OK:
                raise ToolFailure(f"{response.url} answered {response.status_code}, expected 200")
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) >= self._max_bytes:
                    break
        return body[: self._max_bytes].decode("utf-8", errors="replace")
