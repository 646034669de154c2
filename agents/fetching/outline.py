"""What a page says besides its text: its links, its language and what it asks of robots.

Made where the text is taken out, in the worker for pages of the open web; plain values, so that
it travels as JSON.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args
from urllib.parse import urljoin

Place = Literal["text", "list", "related", "menu", "footer"]
"""Where a link stands: running text, a list or table, a list of related pages, navigation, foot."""

MAX_LINKS = 2_000
"""Most links taken from one page, in the order of the document."""

_MAX_URL_CHARS = 2_000
_MAX_ANCHOR_CHARS = 200
_MAX_CONTEXT_CHARS = 240
# Longer blocks are pages without paragraphs; looking for an anchor in them would take long.
_MAX_BLOCK_CHARS = 20_000
_ORIGIN = re.compile(r"[a-z]+://[^/?#]+")
_BLOCKS = frozenset({"p", "blockquote", "dd", "dt", "li", "td", "th", "figcaption", "div", "pre"})
_LISTS = frozenset({"li", "td", "th", "dt"})
_FURNITURE: dict[str, Place] = {
    "footer": "footer",
    "nav": "menu",
    "header": "menu",
    "aside": "menu",
    "form": "menu",
}
_MENUS = frozenset({"nav", "menu", "sidebar", "breadcrumb", "header", "toc", "navbar"})
_RELATED = ("see-also", "see also", "seealso", "related", "further-reading")


@dataclass(frozen=True, slots=True)
class PageLink:
    """A link of a page.

    Attributes:
        url: Absolute address as the page gives it, fragment included.
        anchor: Its text, or what stands for it (title, alt text of a picture).
        context: The words around it.
        place: Where it stands.
        nofollow: Whether the page asks robots not to follow it.
    """

    url: str
    anchor: str
    context: str
    place: Place
    nofollow: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """A page's links and what it says of itself.

    Attributes:
        links: Its links in the order of the document, at most `MAX_LINKS`.
        language: Language that it declares, such as `en`; empty where it declares none.
        noindex: Whether it asks robots not to keep it.
        nofollow: Whether it asks robots not to follow its links.
        num_links: Links that it has, those beyond the limit included.
    """

    links: tuple[PageLink, ...] = ()
    language: str = ""
    noindex: bool = False
    nofollow: bool = False
    num_links: int = 0

    def as_json(self) -> dict[str, Any]:
        """Its fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Outline:
        """Reads what `as_json` wrote; trusts nothing of it.

        Raises:
            ValueError: It has another form.
        """
        try:
            links = tuple(
                PageLink(
                    str(link["url"]),
                    str(link["anchor"]),
                    str(link["context"]),
                    _place(link["place"]),
                    bool(link["nofollow"]),
                )
                for link in value["links"][:MAX_LINKS]
            )
            return cls(
                links,
                str(value["language"])[:40],
                bool(value["noindex"]),
                bool(value["nofollow"]),
                int(value["num_links"]),
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"an outline of another form: {error}") from error


def outline_of_html(html: str, url: str) -> Outline:
    """Takes links, language and directives out of a page.

    Args:
        html: The page.
        url: Its address, against which its links are resolved unless it names a base.
    """
    from lxml import html as lxml_html
    from lxml.etree import ParserError

    try:
        # As bytes: lxml refuses text that declares an encoding of its own.
        parser = lxml_html.HTMLParser(encoding="utf-8")
        root = lxml_html.document_fromstring(html.encode("utf-8", "replace"), parser=parser)
    except (ParserError, ValueError):
        return Outline()
    base = next(iter(root.xpath("//base/@href")), "")
    base = _joined(url, str(base)) or url
    directives = ",".join(
        str(tag.get("content") or "").lower()
        for tag in root.iter("meta")
        if str(tag.get("name") or "").lower() in ("robots", "evolvesearch")
    )
    surroundings = _Surroundings()
    links: list[PageLink] = []
    num_links = 0
    for element in root.iter("a", "area"):
        href = (element.get("href") or "").strip()
        # A link to a place on the same page is none to another.
        if not href or href.startswith("#"):
            continue
        num_links += 1
        if len(links) < MAX_LINKS:
            links.append(_link(element, _joined(base, href) or href, surroundings))
    return Outline(
        tuple(links),
        (root.get("lang") or root.get("xml:lang") or "").strip().lower()[:40],
        "noindex" in directives or "none" in directives,
        "nofollow" in directives or "none" in directives,
        num_links,
    )


def _joined(base: str, href: str) -> str:
    # Most links of a site are of this form, and the general way takes five times as long.
    origin = _ORIGIN.match(base)
    if origin and href.startswith("/") and not href.startswith("//"):
        return origin[0] + href
    try:
        return urljoin(base, href)
    except ValueError:
        return ""


class _Surroundings:
    """What the links of a page stand in; most stand in the same elements as others."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[Place | None, Any]] = {}
        self._texts: dict[Any, str] = {}

    def of(self, element: Any) -> tuple[Place | None, Any]:
        """The furniture that a link is part of and its block of text, None where there is none."""
        inside: list[Any] = []
        place: Place | None = None
        block: Any = None
        for above in element.iterancestors():
            # What a page says of itself as a whole says nothing of its parts.
            if above.tag in ("main", "article", "body", "html"):
                break
            if above in self._known:
                place, block = self._known[above]
                break
            inside.append(above)
        for above in reversed(inside):
            place = _furniture(above) or place
            block = above if above.tag in _BLOCKS else block
            self._known[above] = place, block
        return place, block

    def text_of(self, block: Any) -> str:
        """The text of a block."""
        if block not in self._texts:
            self._texts[block] = _plain(block.text_content())
        return self._texts[block]


def _link(element: Any, url: str, surroundings: _Surroundings) -> PageLink:
    anchor = _plain(element.text_content())
    if not anchor:
        pictures = (image.get("alt") or "" for image in element.iter("img"))
        anchor = _plain(element.get("title") or next(pictures, "") or element.get("alt") or "")
    place, block = surroundings.of(element)
    if place is None:
        place = "list" if block is not None and block.tag in _LISTS else "text"
    context = ""
    if block is not None and place in ("text", "list"):
        context = _around(surroundings.text_of(block), anchor)
    return PageLink(
        url[:_MAX_URL_CHARS],
        anchor[:_MAX_ANCHOR_CHARS],
        context,
        place,
        "nofollow" in (element.get("rel") or "").lower(),
    )


def _furniture(element: Any) -> Place | None:
    """The place that an element makes of all that is in it, None where it makes none."""
    parts = [element.get(key) for key in ("class", "id", "aria-label", "role")]
    name = " ".join(part for part in parts if part).lower()
    if name:
        if any(word in name for word in _RELATED):
            return "related"
        if "footer" in name:
            return "footer"
        if not _MENUS.isdisjoint(name.replace("-", " ").replace("_", " ").split()):
            return "menu"
    return _FURNITURE.get(element.tag)


def _around(block: str, anchor: str) -> str:
    if len(block) <= _MAX_CONTEXT_CHARS:
        return block
    at = max(block[:_MAX_BLOCK_CHARS].find(anchor), 0)
    start = max(0, at + len(anchor) // 2 - _MAX_CONTEXT_CHARS // 2)
    window = block[start : start + _MAX_CONTEXT_CHARS]
    # Words that the window cuts in two say nothing.
    if start:
        window = window.partition(" ")[2]
    if start + _MAX_CONTEXT_CHARS < len(block):
        window = window.rpartition(" ")[0]
    return window


def _plain(text: str) -> str:
    return " ".join(text.split())


def _place(value: Any) -> Place:
    if value not in get_args(Place):
        raise KeyError(f"{value!r} is no place of a link")
    place: Place = value
    return place
