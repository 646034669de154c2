"""Configuration of the search back end."""

from __future__ import annotations

from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from agents.configuration import Config

_NEED_ENDPOINT = ("searxng", "retriever")


class SearchConfig(Config):
    """Who answers searches, and how it is asked."""

    provider: Literal["local", "serper", "brave", "searxng", "tavily", "retriever"] = "local"
    """`local` is the local web's index; `serper`, `brave` and `tavily` take their key from
    SERPER_API_KEY, BRAVE_API_KEY or TAVILY_API_KEY; `searxng` is an instance of one's own;
    `retriever` any server with Search-R1's interface (POST /retrieve)."""
    endpoint: str = ""
    """Address of the provider, as `http://127.0.0.1:8000`; needed for `searxng` and `retriever`,
    else empty for the provider's own."""
    results: int = Field(default=10, ge=1, le=50)
    """Results asked of a provider for one query; those beyond `agents.search_results` stand in for
    duplicates. `local` needs none to spare."""
    timeout_s: float = Field(default=10.0, gt=0)
    """Seconds for one attempt; failed attempts are repeated, within `agents.tool_timeout_s`."""
    rate: float | None = Field(default=None, gt=0)
    """Most requests a second to the provider; None: as fast as they come."""
    price: float | None = Field(default=None, ge=0)
    """Price of one attempt, in the unit of `web.budget`; None counts 1 for a provider with a key
    and 0 for the others."""

    @property
    def that_matters(self) -> dict[str, Any]:
        """The fields that results depend on."""
        if self.provider == "local":
            return {"provider": self.provider}
        return self.model_dump(mode="json", include={"provider", "endpoint", "results"})

    @model_validator(mode="after")
    def _has_usable_endpoint(self) -> Self:
        if not self.endpoint:
            if self.provider in _NEED_ENDPOINT:
                raise ValueError(
                    f"provider {self.provider} needs its address (web.search.endpoint)"
                )
            return self
        if self.provider == "local":
            raise ValueError("endpoint is set, but provider local has none")
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("endpoint is no http(s) address")
        if parts.username or parts.password or parts.query or parts.fragment:
            # It stands in artifacts and in parameters: nothing secret may be in it.
            raise ValueError("endpoint must have no user, password, query or fragment")
        return self
