"""The tools of a rollout, made once for a process."""

from __future__ import annotations

from agents.config import AgentConfig
from agents.snapshots import PageRecorder
from agents.tools.base import Tool
from agents.tools.search import SearchableWeb, SearchTool
from agents.tools.visit import VisitTool


def make_tools(
    web: SearchableWeb,
    config: AgentConfig,
    site_url: str | None = None,
    recorder: PageRecorder | None = None,
) -> dict[str, Tool]:
    """Makes the tools by name.

    Args:
        web: The web to search and to read.
        config: The agent's limits and the page reader's mode.
        site_url: Address of the web's site; needed where `config.visit.mode` is `http`.
        recorder: Where all tools note the pages that they show; None: nobody asks for them.
    """
    tools: list[Tool] = [
        SearchTool(web, config, recorder),
        VisitTool(web, config, site_url, recorder),
    ]
    return {tool.name: tool for tool in tools}
