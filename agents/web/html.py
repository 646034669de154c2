"""HTML of the local web: plain, readable without scripts, every text escaped.

A page's own text stands in `<main>`, one `<p>` for each paragraph of an article and for each
sentence of a fact page; everything else is in `<header>`, `<nav>`, `<form>` or `<footer>`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup, escape

from agents.web.analysis import base_title
from agents.web.index import SearchHit
from agents.web.linking import TEXT_KINDS
from agents.web.pages import Page

_LAYOUT = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{% block title %}{% endblock %} – local web</title>
<style>
:root { --ink: #1c1f23; --soft: #5d6670; --line: #d9dde2; --paper: #fff; --link: #0b57d0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --soft: #9aa4af; --line: #343b43; --paper: #15181c; --link: #8ab4f8; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 46rem; padding: 1rem; color: var(--ink);
  background: var(--paper); font: 1.05rem/1.6 system-ui, sans-serif; overflow-wrap: anywhere; }
a { color: var(--link); }
.top { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center;
  padding-bottom: .8rem; border-bottom: 1px solid var(--line); }
.top > a { font-weight: 600; text-decoration: none; color: var(--ink); }
form { display: flex; flex: 1; gap: .4rem; min-width: 14rem; }
input, button { font: inherit; padding: .3rem .6rem; border: 1px solid var(--line);
  border-radius: .4rem; color: inherit; background: transparent; }
input { flex: 1; min-width: 0; }
h1 { line-height: 1.25; margin: 1.2rem 0 .4rem; }
h2 { font-size: 1.1rem; margin-bottom: .2rem; }
p { margin: .45rem 0; }
.soft, footer { color: var(--soft); font-size: .9rem; }
.hits { padding-left: 2rem; }
.hits li { margin: .8rem 0; }
footer { margin-top: 2rem; padding-top: .6rem; border-top: 1px solid var(--line); }
</style>
</head>
<body>
<header class="top">
<a href="/">Local web</a>
<form action="/search" role="search">
<input type="search" name="q" value="{{ query }}" aria-label="Search" maxlength="300"
  placeholder="Search, such as: Lyon country">
<button>Search</button>
</form>
</header>
{% block body %}{% endblock %}
</body>
</html>
"""
_PAGE = """\
{% extends "layout" %}
{% block title %}{{ page.title }}{% endblock %}
{% block body %}
<main>
<h1>{{ page.title }}</h1>
{% for paragraph in paragraphs %}<p>{{ paragraph }}</p>
{% endfor %}
</main>
{% if see_also %}<nav aria-label="See also">
<h2>See also</h2>
<ul>
{% for link in see_also %}<li><a href="{{ link.url | path }}">{{ link.title }}</a></li>
{% endfor %}</ul>
</nav>{% endif %}
<footer>
{% if page.kind == "article" %}Text from Wikipedia, \
<a href="{{ page.source }}">{{ page.source }}</a>, under CC BY-SA 4.0.
{% elif page.kind == "page" %}A page of your own corpus.\
{% if page.source is weblink %} From <a href="{{ page.source }}">{{ page.source }}</a>.{% endif %}
{% else %}Written from tables of facts: GeoNames (CC BY 4.0), mendeleev, airportsdata.
{% endif %}
</footer>
{% endblock %}
"""
_HOME = """\
{% extends "layout" %}
{% block title %}Search{% endblock %}
{% block body %}
<main>
<h1>Local web</h1>
<p>{{ "{:,}".format(num_pages) }} pages on this machine, as the agents search and visit them.</p>
{% if examples %}<p>Begin anywhere:
{% for page in examples %}<a href="{{ page.url | path }}">{{ page.title }}</a>\
{{ "." if loop.last else ", " }}{% endfor %}</p>{% endif %}
</main>
{% endblock %}
"""
_RESULTS = """\
{% extends "layout" %}
{% block title %}{{ heading }}{% endblock %}
{% block body %}
<main>
<h1>{{ heading }}</h1>
{% if note %}<p>{{ note }}</p>{% endif %}
<ol class="hits">
{% for hit in hits %}<li><a href="{{ hit.url | path }}">{{ hit.title }}</a>
<div>{{ hit.snippet }}</div></li>
{% endfor %}</ol>
</main>
{% endblock %}
"""


def path_of(url: str) -> str:
    """Path on the site of a page's canonical url."""
    return "/wiki" + urlsplit(url).path


def _environment() -> Environment:
    templates = {"layout": _LAYOUT, "page": _PAGE, "home": _HOME, "results": _RESULTS}
    environment = Environment(
        loader=DictLoader(templates), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["path"] = path_of
    environment.tests["weblink"] = lambda url: urlsplit(url).scheme in ("http", "https")
    return environment


_ENVIRONMENT = _environment()


def page_html(page: Page) -> str:
    """A page as HTML: its links where its text mentions them, the others below it."""
    paragraphs, shown = _linked_paragraphs(page)
    see_also = [link for link in page.links if link.url not in shown]
    return _ENVIRONMENT.get_template("page").render(
        page=page, paragraphs=paragraphs, see_also=see_also, query=""
    )


def home_html(num_pages: int, examples: Sequence[Page]) -> str:
    """The front page, with a few pages to begin at."""
    return _ENVIRONMENT.get_template("home").render(
        num_pages=num_pages, examples=examples, query=""
    )


def results_html(query: str, hits: Sequence[SearchHit]) -> str:
    """Results of a search."""
    note = "" if hits else "No page matches. Try fewer words, or a name alone."
    return _results(query, hits, f"Search: {query}", note)


def missing_html(name: str, hits: Sequence[SearchHit]) -> str:
    """What is shown in place of a page that is not there, with pages that may be meant."""
    heading = f"There is no page {name}" if name else "There is no such address"
    return _results(name, hits, heading, "Perhaps one of these is meant:" if hits else "")


def _results(query: str, hits: Sequence[SearchHit], heading: str, note: str) -> str:
    template = _ENVIRONMENT.get_template("results")
    return template.render(query=query, hits=hits, heading=heading, note=note)


def _linked_paragraphs(page: Page) -> tuple[list[Markup], set[str]]:
    separator = "\n\n" if page.kind in TEXT_KINDS else "\n"
    # Where two links have one name, the first is meant; a page's own name leads nowhere new.
    by_name = {base_title(link.title): link for link in reversed(page.links)}
    by_name.pop(base_title(page.title), None)
    names = sorted((name for name in by_name if name), key=len, reverse=True)
    pattern = "|".join(re.escape(name) for name in names)
    mention = re.compile(rf"(?<!\w)(?:{pattern})(?!\w)") if names else None
    shown: set[str] = set()
    paragraphs = []
    for paragraph in page.text.split(separator):
        text = " ".join(paragraph.split())
        parts: list[Markup] = []
        start = 0
        for match in mention.finditer(text) if mention else ():
            link = by_name[match.group()]
            if link.url in shown:
                continue
            shown.add(link.url)
            parts.append(escape(text[start : match.start()]))
            parts.append(Markup('<a href="{}">{}</a>').format(path_of(link.url), match.group()))
            start = match.end()
        parts.append(escape(text[start:]))
        paragraphs.append(Markup("").join(parts))
    return paragraphs, shown
