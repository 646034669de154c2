"""Search over the pages: candidates from a tantivy index, ranked by names and sentences.

BM25 alone answers `France currency` with the article on currencies, or with a dozen pages that
hold both words. People and agents name a thing and what they want to know of it, so the final
order asks: is a page's whole name in the query, and does one of its sentences answer the rest?
`docs/web.md` has the figures by which the library was chosen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import tantivy

from agents.errors import AssetError
from agents.web.analysis import base_title, terms
from agents.web.page_store import PageStore
from agents.web.pages import Page
from agents.web.passages import AnalysedPage, analyse, best_passage, line_scores
from agents.web.ranking_store import RankedPage, RankingStore, write_ranking

_RANKING = "ranking.sqlite"
_NUM_CANDIDATES = 48
_NUM_NAMED = 16
_LOOKED_AT = 4
"""Pages looked at for each hit, where pages repeat each other."""
_MAX_NAME_TERMS = 8
_MAX_QUERY_TERMS = 48
# Weights of a matched term, by where it matched, as multiples of how telling it is.
_WHOLE_NAME = 2.0
_PART_OF_NAME = 0.5
_SENTENCE = 1.0
_ELSEWHERE = 0.3
# The same, as multiples of the weight of a term that one page alone holds.
_PROMINENCE = 0.4
_KIND_ASKED = 0.1


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One result of a search.

    Attributes:
        url: Canonical address of the page.
        title: Its title.
        snippet: The one or two sentences of it that answer the query best.
        score: Higher is better; comparable within one query only.
    """

    url: str
    title: str
    snippet: str
    score: float


def build_index(folder: Path, pages: Iterable[Page]) -> None:
    """Writes the index of pages that are numbered from 0 in the order given.

    Args:
        folder: An empty folder.
        pages: The pages.
    """
    builder = tantivy.SchemaBuilder()
    for field in ("name", "title", "text"):
        builder.add_text_field(field, tokenizer_name="whitespace", index_option="freq")
    builder.add_integer_field("number", fast=True)
    # One thread: the same pages give the same scores everywhere.
    index = tantivy.Index(builder.build(), path=str(folder))
    writer = index.writer(heap_size=256_000_000, num_threads=1)
    hinted = lru_cache(terms)

    def indexed() -> Iterator[RankedPage]:
        for number, page in enumerate(pages):
            names = dict.fromkeys((base_title(page.title), page.title, *page.names))
            writer.add_document(
                tantivy.Document(
                    name=" ".join(filter(None, ("_".join(terms(name)) for name in names))),
                    title=" ".join(dict.fromkeys(t for name in names for t in terms(name))),
                    text=" ".join([*terms(page.text), *(t for h in page.hints for t in hinted(h))]),
                    number=number,
                )
            )
            yield RankedPage(number, page.url, page.kind, page.prominence, analyse(page))

    write_ranking(folder / _RANKING, indexed())
    writer.commit()
    writer.wait_merging_threads()


def index_version() -> str:
    """Version of the library whose file format the index has."""
    return f"tantivy {metadata.version('tantivy')}"


class SearchIndex:
    """Finds pages by what a query names and asks for.

    Args:
        folder: A folder that `build_index` made.
        pages: The same pages, by number.
        snippet_words: Longest snippet, in words.

    Raises:
        AssetError: The index cannot be read.
    """

    def __init__(self, folder: Path, pages: PageStore, snippet_words: int) -> None:
        try:
            index = tantivy.Index.open(str(folder))
        except (ValueError, OSError) as error:
            raise AssetError(f"the search index {folder} cannot be read: {error}") from error
        self._ranking = RankingStore(folder / _RANKING)
        self._schema = index.schema
        self._searcher = index.searcher()
        self._pages = pages
        self._snippet_words = snippet_words
        self._weight = lru_cache(maxsize=65_536)(self._inverse_frequency)
        self._rarest = math.log(1.0 + self._searcher.num_docs / 2.0)

    def search(self, query: str, k: int) -> list[SearchHit]:
        """The best pages for a query, the best first; ties go by url.

        A page whose snippet stands in a better hit already comes after those that add to it.

        Args:
            query: Words in any order; no operators.
            k: Most results.
        """
        wanted = list(dict.fromkeys(terms(query)))[:_MAX_QUERY_TERMS]
        if not wanted or k < 1:
            return []
        candidates = self._ranking.pages(self._candidates(query, wanted, k))
        scored = [(self._score(page, wanted), page) for page in candidates]
        scored.sort(key=lambda pair: (-pair[0], pair[1].url))
        return self._distinct([(page, score) for score, page in scored], k, query)

    def _distinct(
        self, ranked: list[tuple[RankedPage, float]], k: int, query: str
    ) -> list[SearchHit]:
        """The first hits that each say something new; pages that repeat them only fill up."""
        hits: dict[str, SearchHit] = {}
        repeated: list[SearchHit] = []
        for page, score in ranked[: _LOOKED_AT * k]:
            hit = self._hit(page, score, query)
            if hits.setdefault(hit.snippet, hit) is not hit:
                repeated.append(hit)
            elif len(hits) == k:
                break
        return [*hits.values(), *repeated][:k]

    def _hit(self, ranked: RankedPage, score: float, query: str) -> SearchHit:
        page = self._pages.numbered(ranked.number)
        snippet = best_passage(page, query, self._snippet_words, self._weight, ranked.analysed)
        return SearchHit(page.url, page.title, snippet, score)

    def _candidates(self, query: str, wanted: list[str], k: int) -> list[int]:
        """Numbers of the pages worth ranking: the best by BM25, and those that are named."""

        def match(field: str, term: str) -> tuple[tantivy.Occur, tantivy.Query]:
            # Bare terms: the library passes over most of their pages unread, as long as no
            # clause carries a weight of its own and nobody wants all matches counted.
            found = tantivy.Query.term_query(self._schema, field, term, "freq")
            return tantivy.Occur.Should, found

        # Whole names are indexed as one term, so that no page that the query names is missed.
        words = terms(query)[:_MAX_QUERY_TERMS]
        spans = {
            "_".join(words[start:end])
            for start in range(len(words))
            for end in range(start + 1, min(start + _MAX_NAME_TERMS, len(words)) + 1)
        }
        parts = (
            ([match("name", span) for span in sorted(spans)], _NUM_NAMED),
            ([match(f, term) for term in wanted for f in ("title", "text")], _NUM_CANDIDATES),
        )
        numbers: dict[int, None] = {}
        for clauses, most in parts:
            either = tantivy.Query.boolean_query(clauses)
            found = self._searcher.search(either, max(most, 2 * k), count=False)
            places = [place for _, place in found.hits]
            values = self._searcher.fast_field_values("number", places)
            numbers |= dict.fromkeys(value for value in values if isinstance(value, int))
        return list(numbers)

    def _score(self, page: RankedPage, wanted: list[str]) -> float:
        analysed = page.analysed
        named = self._best_name(analysed, wanted)
        # What tells namesakes apart, as in `Lao (language)`, is not part of the name itself:
        # `Laos language` asks for the language of Laos.
        score = 0.0
        for term in sorted(named):
            factor = _SENTENCE if term in analysed.qualifier else _WHOLE_NAME
            score += factor * self._weight(term)
        rest = [term for term in wanted if term not in named]
        lines = line_scores(analysed, rest, self._weight)
        if lines:
            best = lines.index(max(lines))
            score += _SENTENCE * lines[best]
            covered = (analysed.line_terms[best], *analysed.hint_terms[best : best + 1])
            rest = [term for term in rest if not any(term in own for own in covered)]
        titles = analysed.names[0] if analysed.names else frozenset()
        for term in rest:
            if term in titles:
                score += _PART_OF_NAME * self._weight(term)
            elif analysed.holds(term):
                score += _ELSEWHERE * self._weight(term)
        prior = _PROMINENCE * page.prominence + (_KIND_ASKED if page.kind in wanted else 0.0)
        return score + prior * self._rarest

    def _best_name(self, page: AnalysedPage, wanted: list[str]) -> frozenset[str]:
        asked = set(wanted)
        whole = [name for name in page.names if name <= asked]
        return max(
            whole, key=lambda name: sum(self._weight(term) for term in name), default=frozenset()
        )

    def _inverse_frequency(self, term: str) -> float:
        frequency = max(
            self._searcher.doc_freq("text", term), self._searcher.doc_freq("title", term)
        )
        return math.log(1.0 + self._searcher.num_docs / (1.0 + frequency))
