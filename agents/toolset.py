"""The tools of a rollout, made once for a process."""

from __future__ import annotations

from agents.config import AgentConfig
from agents.snapshots import PageRecorder
from agents.tools.base import Tool
from agents.tools.search import SearchableWeb, SearchTool
from agents.tools.visit import VisitTool
from agents.web.cache import WebCache
from agents.web.search.base import SearchBackend


def make_tools(
    web: SearchableWeb,
    config: AgentConfig,
    site_url: str | None = None,
    recorder: PageRecorder | None = None,
    search: SearchBackend | None = None,
    cache: WebCache | None = None,
) -> dict[str, Tool]:
    """Makes the tools by name.

    Args:
        web: The web to search and to read.
        config: The agent's limits and the page reader's mode.
        site_url: Address of the web's site; needed where `config.visit.mode` is `http`.
        recorder: Where all tools note the pages that they show; None: nobody asks for them.
        search: Who answers searches; None: the web itself.
        cache: Where answers are kept and found again; None: in this process.
    """
    cache = cache or WebCache()
    tools: list[Tool] = [
        SearchTool(web, config, recorder, search, cache),
        VisitTool(web, config, site_url, recorder, cache),
    ]
    return {tool.name: tool for tool in tools}
