"""The tools of a rollout, made once for a process."""

from __future__ import annotations

from typing import Protocol

from agents.config import AgentConfig
from agents.tools.base import Tool
from agents.tools.search import SearchableWeb, SearchTool
from agents.tools.visit import ReadableWeb, VisitTool


class AgentWeb(SearchableWeb, ReadableWeb, Protocol):
    """A web that tools can search and read."""


def make_tools(web: AgentWeb, config: AgentConfig, site_url: str | None = None) -> dict[str, Tool]:
    """Makes the tools by name.

    Args:
        web: The web to search and to read.
        config: The agent's limits and the page reader's mode.
        site_url: Address of the web's site; needed where `config.visit.mode` is `http`.
    """
    tools: list[Tool] = [SearchTool(web, config), VisitTool(web, config, site_url)]
    return {tool.name: tool for tool in tools}
