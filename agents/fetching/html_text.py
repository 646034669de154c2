"""Title and plain text of the local site's HTML: one line for each block, nothing left out.

The site's pages are ours: short, regular, with their text in `<main>`, one sentence a line. An
extractor for the open web guesses where the text is; on pages of three sentences it takes the
search form along and breaks sentences at links.
"""

from __future__ import annotations

from html.parser import HTMLParser

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
