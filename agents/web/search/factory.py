"""Makes the search back end that a configuration names."""

from __future__ import annotations

from agents.web.budget import Budget
from agents.web.config import WebConfig
from agents.web.local import LocalWeb
from agents.web.search.base import LocalSearch, SearchBackend
from agents.web.search.http_search import HttpSearch, check_key
from agents.web.search.providers import PROVIDERS


def make_search(config: WebConfig, web: LocalWeb, budget: Budget | None = None) -> SearchBackend:
    """Makes the back end.

    Args:
        config: Which one, and how it is asked.
        web: The local web, whose index is one of them.
        budget: What is paid for calls that cost.
    """
    if config.search.provider == "local":
        return LocalSearch(web, {"web": web.digest, "snippet_words": config.snippet_words})
    return HttpSearch(config.search, config.snippet_words, budget)


def check_search(config: WebConfig) -> None:
    """Checks that searches can be made, for callers that would rather know before they start.

    Raises:
        UsageError: The provider's key is not in the environment, and it will be needed.
    """
    if config.search.provider != "local" and config.cache != "offline":
        check_key(PROVIDERS[config.search.provider])
