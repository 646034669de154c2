"""Configuration of a crawl: where it begins, how far it goes and what it keeps; free of torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from agents.configuration import Config
from training.construction.crawl.languages import KNOWN_LANGUAGES


class CrawlConfig(Config):
    """One crawl.

    How a page is fetched (requests or a browser, timeouts, pauses, robots.txt) `agents.visit` says.
    """

    roots: tuple[str, ...] = ()
    """Addresses at which the crawl begins: pages of the local web (`http://wiki.local/Lyon`, or
    its front page `http://wiki.local/`) and of the open web alike."""

    scope: Literal["path", "host", "domain"] = "host"
    """Which pages belong to a root's site: `path` those below the root's folder, `host` those of
    its host (with or without `www.`), `domain` those of all hosts of its registrable domain
    (`example.co.uk`)."""

    max_pages: int = Field(default=2_000, ge=1)
    """Most pages kept."""

    max_visits: int = Field(default=10_000, ge=1)
    """Most addresses visited, those included from which nothing is kept."""

    max_depth: int = Field(default=10, ge=0)
    """Most links between a root and a page, along the way by which it was found; 0 takes the roots
    alone."""

    max_total_bytes: int = Field(default=1_000_000_000, ge=1)
    """Most bytes read, over all pages; `agents.visit.max_page_bytes` bounds one page."""

    max_seconds: float | None = Field(default=None, gt=0)
    """Seconds after which no further page is begun; None: no limit."""

    max_links: int = Field(default=1_000, ge=1)
    """Most links followed from one page, in its order; the rest is counted as refused."""

    at_once: int = Field(default=8, ge=1)
    """Pages fetched at once, over all hosts; `agents.visit.max_per_host` bounds one host."""

    languages: tuple[str, ...] = ("en",)
    """Languages of the pages kept, as two letters; none: all languages."""

    min_words: int = Field(default=20, ge=1)
    """Words below which a page is taken for empty. Its links are followed all the same."""

    duplicate_similarity: float = Field(default=0.9, gt=0.5, le=1.0)
    """Similarity of two texts (Jaccard, of runs of five characters) from which the later page is a
    duplicate; 1 asks for equal sets."""

    focus: tuple[str, ...] = ()
    """Words that make a link worth more where its text, surroundings or address hold them; none:
    no topic is preferred."""

    max_queries_per_path: int = Field(default=50, ge=1)
    """Most addresses that differ in their query alone; more are taken for an endless space."""

    max_dates: int = Field(default=60, ge=1)
    """Most addresses that differ in a date alone; more are taken for a calendar."""

    max_per_template: int = Field(default=5_000, ge=1)
    """Most addresses that differ in their numbers alone."""

    @model_validator(mode="after")
    def _knows_the_languages(self) -> Self:
        unknown = sorted(set(self.languages) - KNOWN_LANGUAGES)
        if unknown:
            raise ValueError(
                f"languages are {', '.join(sorted(KNOWN_LANGUAGES))}; got {', '.join(unknown)}"
            )
        return self
