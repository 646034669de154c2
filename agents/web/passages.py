"""Which sentence of a page answers a query best.

Pages are short and their sentences are self-contained, so one or two sentences make a snippet
that a small model can answer from, at a fraction of the page's tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from agents.web.analysis import base_title, terms
from agents.web.pages import Page

# A hint counts a little less than the word itself.
_HINT = 0.8
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class AnalysedPage:
    """A page's search terms, by where they stand.

    Attributes:
        names: Terms of each name of the page: its title, the title without what tells it apart,
            and other names.
        qualifier: Terms of what tells the title apart from its namesakes'.
        line_terms: Terms of each sentence; see `lines_of`.
        hint_terms: Terms of each sentence's hint; empty where no sentence has one.
    """

    names: tuple[frozenset[str], ...]
    qualifier: frozenset[str]
    line_terms: tuple[frozenset[str], ...]
    hint_terms: tuple[frozenset[str], ...]

    def holds(self, term: str) -> bool:
        """Whether a term stands anywhere on the page or in what tells its sentences."""
        return any(
            term in own for part in (self.names, self.line_terms, self.hint_terms) for own in part
        )


def lines_of(page: Page) -> list[str]:
    """The sentences of a page's text."""
    return [line for line in page.text.splitlines() if line.strip()]


def analyse(page: Page) -> AnalysedPage:
    """Takes a page's text apart into search terms."""
    names = dict.fromkeys(
        frozenset(terms(name)) for name in (base_title(page.title), page.title, *page.names)
    )
    qualifier = frozenset(terms(page.title)) - frozenset(terms(base_title(page.title)))
    rows = page.text.splitlines()
    hints = page.hints if len(page.hints) == len(rows) else ("",) * len(rows)
    kept = [(row, hint) for row, hint in zip(rows, hints, strict=True) if row.strip()]
    return AnalysedPage(
        names=tuple(name for name in names if name),
        qualifier=qualifier,
        line_terms=tuple(frozenset(terms(row)) for row, _ in kept),
        hint_terms=tuple(frozenset(terms(hint)) for _, hint in kept) if any(hints) else (),
    )


def line_scores(
    page: AnalysedPage, query: Collection[str], weight: Callable[[str], float]
) -> list[float]:
    """How well each sentence answers a query.

    Args:
        page: The page.
        query: The query's terms.
        weight: How telling a term is.

    Returns:
        One score a sentence, 0 where nothing matches.
    """
    weights = [(term, weight(term)) for term in query]
    if not page.hint_terms:
        return [sum([value for term, value in weights if term in own]) for own in page.line_terms]
    return [
        sum(
            [
                value * (1.0 if term in own else _HINT)
                for term, value in weights
                if term in own or term in hints
            ]
        )
        for own, hints in zip(page.line_terms, page.hint_terms, strict=True)
    ]


def best_passage(
    page: Page,
    query: str,
    max_words: int,
    weight: Callable[[str], float] = lambda _: 1.0,
    analysed: AnalysedPage | None = None,
) -> str:
    """The one or two sentences of a page that answer a query best, in the page's order.

    A second sentence comes along only where it answers to words that the first does not; where
    nothing but the page's name matches, the page's beginning is given.

    Args:
        page: The page.
        query: What is looked for.
        max_words: Longest passage, in words; a longer sentence is cut around what matches.
        weight: How telling a search term is.
        analysed: The page's terms, where they are at hand.

    Returns:
        The passage; empty for a page without text.
    """
    lines = lines_of(page)
    if not lines:
        return ""
    analysed = analysed or analyse(page)
    wanted = list(dict.fromkeys(terms(query)))
    named = frozenset().union(*(n for n in analysed.names if n <= set(wanted)))
    asked = [term for term in wanted if term not in named]
    scores = line_scores(analysed, asked, weight)
    if not any(scores):
        return _cut(lines[0], wanted, max_words)
    # The page's own name breaks ties between sentences, then their order does.
    by_name = line_scores(analysed, sorted(named), weight)
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], -by_name[i], i))
    first = order[0]
    chosen = [first]
    missing = [
        term
        for term in asked
        if term not in analysed.line_terms[first]
        and not (analysed.hint_terms and term in analysed.hint_terms[first])
    ]
    rest = line_scores(analysed, missing, weight)
    second = max(range(len(rest)), key=lambda i: (rest[i], -i))
    room = max_words - len(lines[first].split())
    if rest[second] > 0 and len(lines[second].split()) <= room:
        chosen.append(second)
    return " ".join(_cut(lines[i], wanted, max_words) for i in sorted(chosen))


def _cut(line: str, wanted: Collection[str], max_words: int) -> str:
    words = line.split()
    if len(words) <= max_words:
        return line
    hits = [not _word_terms(word).isdisjoint(wanted) for word in words]
    best = start = 0
    for i, num_hits in enumerate(_window_sums(hits, max_words)):
        if num_hits > best:
            best, start = num_hits, i
    cut = " ".join(words[start : start + max_words])
    head = f"{_ELLIPSIS} " if start else ""
    tail = "" if start + max_words == len(words) else f" {_ELLIPSIS}"
    return f"{head}{cut}{tail}"


@lru_cache(maxsize=65_536)
def _word_terms(word: str) -> frozenset[str]:
    return frozenset(terms(word))


def _window_sums(values: Sequence[int], size: int) -> Iterator[int]:
    """Sums of all runs of `size` values, from the first on."""
    total = sum(values[:size])
    yield total
    for leaving, coming in zip(values, values[size:], strict=False):
        total += coming - leaving
        yield total
