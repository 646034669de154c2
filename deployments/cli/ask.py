"""`evolvesearch ask`: one question, its search shown as it happens, the answer with its sources."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.errors import UsageError
from agents.trajectory import Question, StopReason, Trajectory, Turn
from deployments.cli.console import duration, output, screen
from deployments.cli.options import Settings, shared_options
from deployments.cli.policy import ChosenPolicy, choose_policy
from deployments.cli.rows import printable

if TYPE_CHECKING:
    from agents.web.local import LocalWeb


_WHY_NONE = {
    StopReason.NO_ANSWER: "it was asked for one before its budget ended, and gave none",
    StopReason.MALFORMED: "the policy's turn did not follow the protocol",
    StopReason.CONTEXT_FULL: "the context is full; agents.max_context_tokens sets its size",
    StopReason.DEADLINE: "its time was over; agents.deadline_s sets it",
    StopReason.TOOL_ERROR: "a tool failed",
    StopReason.ENGINE_ERROR: "the engine failed",
}
"""What a person is told where there is no answer."""


@click.command()
@click.argument("question")
@click.option(
    "--policy",
    metavar="REF",
    help="A digest, RUN, RUN/ITERATION or a model folder  [default: last promoted of newest run]",
)
@shared_options
def ask(settings: Settings, question: str, policy: str | None) -> int:
    """Ask one question; thoughts, searches, sources and the answer are shown as they come.

    Exit code 0: it answered; 1: it found no answer.

    \b
    Examples:
      evolvesearch ask "What is the currency of the country where the city of Lyon is located?"
      evolvesearch ask "What is the symbol of gold?" --policy laptop-1a2b3c4d/base
      evolvesearch ask "Which country is Nairobi in?" --json
    """
    if not question.strip():
        raise UsageError("ask: got an empty question; expected one, in quotes")
    started = time.monotonic()
    console = screen()
    with output(settings.json) as answer:
        chosen = choose_policy(settings, policy)
        if chosen.hint:
            click.echo(f"note: {chosen.hint}", err=True)
        show = _ignore_turn if settings.json else _live_view(console)
        if not settings.json:
            console.print(question, style="bold")
        from agents.web.local import open_web

        web = open_web(chosen.config.web)
        trajectory = search_for(question, chosen, web, show)
        sources = _sources(trajectory, web)
        answer(
            {
                "question": question,
                "answer": trajectory.answer,
                "stop_reason": trajectory.stop_reason.value,
                "policy": chosen.digest,
                "sources": sources,
                "turns": [_turn_document(turn) for turn in trajectory.turns],
                "readings": [asdict(reading) for reading in trajectory.readings],
                "num_tool_calls": trajectory.num_tool_calls,
                "wall_s": round(time.monotonic() - started, 3),
            }
        )
    if not settings.json:
        _show_end(console, trajectory, sources, chosen, time.monotonic() - started)
    return 0 if trajectory.answer is not None else 1


def search_for(
    question: str, chosen: ChosenPolicy, web: LocalWeb, on_turn: Callable[[Turn], None]
) -> Trajectory:
    """Rolls out one greedy trajectory in this process.

    Args:
        question: What is asked.
        chosen: The policy and its configuration.
        web: The web to search.
        on_turn: Called with each turn as it ends.

    Raises:
        EngineError: The model could not be loaded.
        UsageError: The search provider's key is not in the environment.
    """
    from transformers import AutoTokenizer

    from agents.engines.factory import make_engine
    from agents.progress import progress
    from agents.runner import RolloutJob, run_jobs
    from agents.toolset import open_tools
    from agents.web.budget import Budget
    from agents.web.search.factory import check_search, make_search

    config = chosen.config
    check_search(config.web.model_copy(update={"cache": "off", "cache_from": ""}))
    asked = Question(question_id="asked", text=question, answers=())
    job = RolloutJob(
        question=asked,
        rollout_index=0,
        seed=config.seed,
        temperature=0.0,
        top_p=1.0,
        iteration=0,
        policy=chosen.digest,
        source="ask",
    )
    with ExitStack() as stack:
        # A question of one's own is asked afresh: nothing is recorded or replayed.
        search = make_search(config.web, web, Budget(config.web.budget))
        tools = stack.enter_context(open_tools(web, config.agents, search=search))
        with progress("loading the policy", 1, "model"):
            tokenizer = AutoTokenizer.from_pretrained(chosen.folder)
            one = config.engine.model_copy(update={"batch_size": 1, "num_replicas": 1})
            engine = make_engine(chosen.folder, one, config.agents.max_context_tokens)
        stack.callback(engine.close)
        (trajectory,) = asyncio.run(
            run_jobs(
                [job],
                engine,
                tokenizer,
                tools,
                config.agents,
                on_turn=lambda _, turn: on_turn(turn),
            )
        )
    return trajectory


def _ignore_turn(turn: Turn) -> None:
    """Shows nothing: the turns come with the document."""


def _live_view(console: Console) -> Callable[[Turn], None]:
    def show(turn: Turn) -> None:
        console.print()
        if turn.thought:
            _say(console, "think", turn.thought, style="dim")
        if turn.action in ("search", "visit"):
            _say(console, turn.action, _asked_for(turn), style="cyan")
        elif turn.action == "malformed":
            _say(console, "malformed", turn.text, style="red")
        # What a call was told of its own mistake is its error and its observation alike.
        if turn.error and turn.error not in turn.observation:
            _say(console, "error", turn.error, style="red")
        if turn.observation:
            _say(console, "", turn.observation, text_style="dim")

    return show


def _say(console: Console, label: str, text: str, *, style: str = "", text_style: str = "") -> None:
    """Prints a label and, beside it, a text whose further lines stay indented."""
    line = Table.grid(padding=(0, 1))
    line.add_column(min_width=7, no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(Text(label, style), Text(printable(text), text_style))
    console.print(line)


def _asked_for(turn: Turn) -> str:
    """The queries of a search, or the page and goal of a visit, without their JSON."""
    values = json.loads(turn.arguments).values()
    parts = (part for value in values for part in (value if isinstance(value, list) else [value]))
    return " · ".join(str(part) for part in parts)


def _sources(trajectory: Trajectory, web: LocalWeb) -> list[dict[str, str]]:
    """The pages that were shown, in order, each once."""
    urls = dict.fromkeys(url for turn in trajectory.turns for url in turn.urls)
    pages = ((url, web.page(url)) for url in urls)
    return [{"title": page.title if page else url, "url": url} for url, page in pages]


def _turn_document(turn: Turn) -> dict[str, Any]:
    return {
        "thought": turn.thought,
        "action": turn.action,
        "arguments": turn.arguments,
        "observation": turn.observation,
        "urls": list(turn.urls),
        "error": turn.error,
    }


def _show_end(
    console: Console,
    trajectory: Trajectory,
    sources: list[dict[str, str]],
    chosen: ChosenPolicy,
    wall_s: float,
) -> None:
    console.print()
    if trajectory.answer is None:
        reason = f"none: {_WHY_NONE.get(trajectory.stop_reason, trajectory.stop_reason.value)}"
        _say(console, "answer", reason, style="bold red")
        if trajectory.error:
            _say(console, "error", trajectory.error, style="red")
    else:
        _say(console, "answer", trajectory.answer, style="bold green", text_style="bold")
    listed = "\n".join(f"{source['title']}  {source['url']}" for source in sources)
    if sources:
        _say(console, "sources", listed)
    by_browser = sources and chosen.config.agents.visit.mode == "browser"
    read = "read with Chromium, " if by_browser else ""
    calls = "1 call" if trajectory.num_tool_calls == 1 else f"{trajectory.num_tool_calls} calls"
    _say(console, "policy", f"{chosen.label}, {calls}, {read}{duration(wall_s)}", text_style="dim")
