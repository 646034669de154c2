"""The tools of a rollout, made once for a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from agents.config import AgentConfig
from agents.fetching.reader import PageReader
from agents.snapshots import PageRecorder
from agents.tools.base import Tool
from agents.tools.opened_search import OpenedSearch
from agents.tools.opening import Fetch, PageOpener
from agents.tools.reading import ModelReader
from agents.tools.reading_models import ApiSummarizer, EngineSummarizer, PageSummarizer
from agents.tools.search import SearchableWeb, SearchTool
from agents.tools.visit import VisitTool
from agents.web.cache import WebCache
from agents.web.local import LocalWeb
from agents.web.search.base import SearchBackend
from agents.web.site import WebSite


def make_tools(
    web: SearchableWeb,
    config: AgentConfig,
    site_url: str | None = None,
    fetch: Fetch | None = None,
    recorder: PageRecorder | None = None,
    search: SearchBackend | None = None,
    cache: WebCache | None = None,
    summarizer: PageSummarizer | None = None,
) -> dict[str, Tool]:
    """Makes the tools by name.

    Args:
        web: The web to search and to read.
        config: The agent's limits and the page reader's mode.
        site_url: Address of the web's site; needed unless `config.visit.mode` is `direct`.
        fetch: Fetches pages from there and from the open web; needed likewise.
        recorder: Where all tools note the pages that they show; None: nobody asks for them.
        search: Who answers searches; None: the web itself.
        cache: Where answers are kept and found again; None: in this process.
        summarizer: The model that reads pages, needed where `config.visit.reader` is `model`.

    Raises:
        ValueError: There is no such model.
    """
    cache = cache or WebCache()
    reader = None
    if config.visit.reader == "model":
        if summarizer is None:
            raise ValueError("agents.visit.reader is 'model' but there is no model to read with")
        reader = ModelReader(summarizer, config.visit.model, cache.get)
    opener = PageOpener(web, config.visit, site_url, fetch, cache.get)
    searching: Tool = SearchTool(web, config, recorder, search, cache)
    opened = config.visit.open_results
    if config.visit.mode == "browser" if opened is None else opened:
        searching = OpenedSearch(searching, opener, recorder)
    tools = [searching, VisitTool(opener, config, recorder, reader)]
    return {tool.name: tool for tool in tools}


@contextmanager
def open_tools(
    web: LocalWeb,
    config: AgentConfig,
    recorder: PageRecorder | None = None,
    search: SearchBackend | None = None,
    cache: WebCache | None = None,
) -> Iterator[dict[str, Tool]]:
    """Makes the tools for the duration of a block, with what their mode of visiting needs.

    Args:
        web: The web to search and to read.
        config: The agent's limits and the page reader's mode.
        recorder: Where all tools note the pages that they show; None: nobody asks for them.
        search: Who answers searches; None: the web itself.
        cache: Where answers are kept and found again; None: in this process.
    """
    cache = cache or WebCache()
    with ExitStack() as stack:
        summarizer: PageSummarizer | None = None
        if config.visit.reader == "model":
            summarizer = _summarizer(config, cache)
            stack.callback(summarizer.close)
        site_url, fetch = None, None
        if config.visit.mode != "direct":
            site_url = stack.enter_context(WebSite(web)).url
            fetch = stack.enter_context(PageReader(config.visit, site_url)).fetch
        yield make_tools(web, config, site_url, fetch, recorder, search, cache, summarizer)


def _summarizer(config: AgentConfig, cache: WebCache) -> PageSummarizer:
    api = config.visit.model.api
    return ApiSummarizer(api, cache.budget) if api.model else EngineSummarizer()
