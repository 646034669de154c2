"""Configuration of the web that is searched and visited."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from agents.configuration import Config
from agents.web.search.config import SearchConfig


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
    search: SearchConfig = SearchConfig()
    """Who answers searches."""
    cache: Literal["off", "record", "replay", "offline"] = "off"
    """What becomes of the web's answers. `off`: nothing is kept beyond the process; `record`: all
    are kept as an artifact of each stage; `replay`: recorded ones are used, the rest is asked for
    and recorded; `offline`: recorded ones are used and nothing is asked."""
    cache_from: str = ""
    """Whose record `replay` and `offline` use: a run, or a reference to a `web_cache`; empty: that
    of the latest other run that has one."""
    cache_ttl_s: float | None = Field(None, gt=0)
    """Age in seconds from which `replay` asks again; None: never. `offline` takes any age."""
    budget: float | None = Field(None, ge=0)
    """Most that a run may pay for searches, in the unit of `web.search.price`; the run then stops
    with exit code 3, and goes on with a larger budget. None: no limit."""

    @property
    def built_from(self) -> dict[str, Any]:
        """The fields that the local web and its search depend on."""
        return self.model_dump(
            mode="json", include={"embedded", "corpus", "min_city_population", "snippet_words"}
        )

    @property
    def that_matters(self) -> dict[str, Any]:
        """The fields that what rollouts see depends on; which record is replayed comes besides."""
        fields = {**self.built_from, "search": self.search.that_matters, "cache": self.cache}
        if self.cache == "replay":
            fields["cache_ttl_s"] = self.cache_ttl_s
        return fields

    @model_validator(mode="after")
    def _counts_what_is_recorded(self) -> WebConfig:
        if self.budget is not None and self.cache == "off":
            raise ValueError(
                "budget counts what is recorded, so that it holds over interruptions: "
                "set web.cache to record or replay"
            )
        if self.cache_from and self.cache not in ("replay", "offline"):
            raise ValueError("cache_from is set, but only web.cache=replay or offline reads it")
        return self

    @model_validator(mode="after")
    def _has_pages(self) -> WebConfig:
        if not self.embedded and not self.corpus:
            raise ValueError("a web without the embedded pages needs at least one corpus file")
        return self
