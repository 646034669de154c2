"""Configuration of the web that is searched and visited."""

from __future__ import annotations

from pydantic import Field, model_validator

from agents.configuration import Config


class WebConfig(Config):
    """What the local web consists of and how its search answers."""

    embedded: bool = True
    """Whether the built-in web (facts and Wikipedia leads) is part of it; questions are built
    from its facts."""
    corpus: tuple[str, ...] = ()
    """JSONL files of one's own pages to add, one object `title, text[, url, links]` a line; plain,
    `.gz` or `.xz`."""
    min_city_population: int = Field(15_000, ge=0)
    """Cities with fewer inhabitants get no page unless they are a capital; 0 keeps all."""
    snippet_words: int = Field(30, ge=5, le=200)
    """Longest snippet of a search result, in words (30 words are about 40 tokens)."""

    @model_validator(mode="after")
    def _has_pages(self) -> WebConfig:
        if not self.embedded and not self.corpus:
            raise ValueError("a web without the embedded pages needs at least one corpus file")
        return self
