"""A site that a crawler gets lost in: loops, calendars, session ids, copies, circles."""

from __future__ import annotations

import random
from urllib.parse import parse_qs, urlencode, urlsplit

from hostile_server import HostileServer, _Handler, html

NUM_ARTICLES = 12
GERMAN = (
    "Der Hafen von Lissabon schützt die Schiffe vor den Stürmen des Atlantiks, und das tut er seit "
    "zweitausend Jahren. Sein Leuchtturm wurde im Jahr 1761 gebaut und führt die Seeleute in den "
    "Hafen, wenn es dunkel ist oder der Nebel von der See kommt und sich auf die Stadt legt."
)
_TRAPS = """
/maze/ /calendar/2024/01 /shop?sort=a /item?id=1 /copy/1 /copy/2 /near/1 /near/2 /image /file.zip
/pdf /plain /german /loop /moved /chain/0 /spelling /private /500 /gone /noindex /nofollow /empty
mailto:x@y.example javascript:void(0) https://elsewhere.example/ http://[broken
/index.html?utm_source=x#top
"""
_LETTERS = "abcdefghijklmnoprstuvwy"


def prose(name: str, num_sentences: int = 12) -> str:
    """English enough, and unlike the prose of any other name."""
    chance = random.Random(name)

    def word() -> str:
        return "".join(chance.choices(_LETTERS, k=chance.randint(4, 10)))

    sentences = (
        f"The {word()} {word()} of the {word()} is in {word()}, and it was {word()} {word()} to "
        f"the {word()} that {word()} has from its {word()}."
        for _ in range(num_sentences)
    )
    return f"This is about {name}. " + " ".join(sentences)


def page(name: str, *links: str, text: str = "", head: str = "") -> str:
    listed = "".join(f'<li>See <a href="{link}">the {link}</a>.</li>' for link in links)
    return html(f"<p>{text or prose(name)}</p><ul>{listed}</ul>", name, head)


class HostileSite(HostileServer):
    """Serves the site while its context is open."""

    def handler(self) -> type[_Handler]:
        return _SiteHandler


class _SiteHandler(_Handler):
    def page_robots_txt(self) -> None:
        self.answer("User-agent: *\nDisallow: /private\n", kind="text/plain")

    def page_home(self) -> None:
        articles = [f"/article/{number}" for number in range(NUM_ARTICLES)]
        self.answer(page("home", *articles, *_TRAPS.split()))

    def page_article(self) -> None:
        number = int(self.path.rsplit("/", 1)[1])
        following = [f"/article/{(number * k + k) % NUM_ARTICLES}" for k in (1, 2, 5)]
        self.answer(page(f"article {number}", *following, "/#section"))

    def page_maze(self) -> None:
        # Its links lack the slash at their beginning.
        self.answer(page(self.path, "left/", "right/"))

    def page_calendar(self) -> None:
        year, month = map(int, self.path.split("/")[2:4])
        later = f"/calendar/{year + month // 12}/{month % 12 + 1:02}"
        earlier = f"/calendar/{year - (month == 1)}/{(month - 2) % 12 + 1:02}"
        self.answer(page(self.path, later, earlier))

    def page_shop(self) -> None:
        chosen = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        links = [
            "/shop?" + urlencode({**chosen, name: value})
            for name in ("sort", "color", "size", "page")
            for value in "abc"
        ]
        self.answer(page(self.path, *links))

    def page_item(self) -> None:
        number = int(parse_qs(urlsplit(self.path).query)["id"][0])
        hits = sum(self.server.hostile.hits.values())
        links = [f"/item?PHPSESSID={hits}x{k}&id={(number + k) % 4}" for k in range(4)]
        self.answer(page(f"item {number}", *links, f"/item;jsessionid={hits}?id=2"))

    def page_copy(self) -> None:
        self.answer(page("copy"))

    def page_near(self) -> None:
        text = prose("near", 40) + f" It was written {self.path[-1]} times."
        self.answer(page("near", text=text))

    def page_german(self) -> None:
        self.answer(page("Hafen", "/behind-german", text=GERMAN))

    def page_spelling(self) -> None:
        # The site insists on a spelling that is the same address to us.
        if self.path == "/spelling":
            self.redirect("/spelling?utm_source=us")
        else:
            self.answer(page("spelling"))

    def page_noindex(self) -> None:
        self.answer(
            page(
                "noindex",
                "/article/1",
                "/only-by-noindex",
                head="<meta name=robots content=noindex>",
            )
        )

    def page_nofollow(self) -> None:
        self.answer(
            page("nofollow", "/behind-nofollow", head="<meta name=robots content=nofollow>")
        )

    def page_empty(self) -> None:
        self.answer(page("empty", "/behind-empty", text="Nothing."))

    def __getattr__(self, name: str):
        # Pages behind others: `behind-empty`, `only-by-noindex`.
        if name.startswith("page_") and "-" in name:
            return lambda: self.answer(page(name))
        raise AttributeError(name)
