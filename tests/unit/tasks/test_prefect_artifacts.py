"""The artifacts of a run as texts, and that each is published once."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import yaml

from agents.errors import BudgetError, StageError
from agents.trajectory import Question
from tasks import prefect_events as events
from tasks import prefect_publishing as publishing
from tasks.config import StageConfig, StageContext
from tasks.prefect_artifacts import chart, publish_scores, score_chart, score_rows
from tasks.prefect_funnel import funnel, funnel_chart, publish_funnel
from tasks.prefect_places import places
from tasks.prefect_samples import (
    Sample,
    choose,
    publish_answer_samples,
    publish_rollout_samples,
    trajectory_text,
)
from tasks.references import reference_of
from tasks.rows import question_row
from tasks.runs import PolicyEntry, RunRecord, StageRecord


@dataclass
class Published:
    """An artifact as Prefect's server has it."""

    key: str
    data: Any
    description: str
    flow_run_id: UUID | None = None


class FakeServer:
    """Keeps what is published, by the flow run of the moment; may be out of reach."""

    def __init__(self) -> None:
        self.artifacts: list[Published] = []
        self.is_down = False
        self.flow_run_id: UUID | None = None

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def read_artifacts(self, artifact_filter: Any) -> list[Published]:
        if self.is_down:
            raise httpx.ConnectError("connection refused")
        (key,), of = artifact_filter.key.any_, artifact_filter.flow_run_id
        return [
            artifact
            for artifact in self.artifacts
            if artifact.key == key and (of is None or artifact.flow_run_id in of.any_)
        ]

    def markdown(self, markdown: str, key: str, description: str) -> None:
        self.artifacts.append(Published(key, markdown, description, self.flow_run_id))

    def table(self, table: Any, key: str, description: str) -> None:
        self.artifacts.append(Published(key, json.dumps(table), description, self.flow_run_id))

    @property
    def keys(self) -> list[str]:
        return [artifact.key for artifact in self.artifacts]


@pytest.fixture
def server(monkeypatch) -> FakeServer:
    fake = FakeServer()
    monkeypatch.setattr(publishing, "get_client", lambda sync_client: fake)
    monkeypatch.setattr(publishing, "create_markdown_artifact", fake.markdown)
    monkeypatch.setattr(publishing, "create_table_artifact", fake.table)
    return fake


def config_of(run) -> StageConfig:
    return StageConfig.model_validate({"store": {"uri": run.store.uri}})


def test_the_same_again_is_not_published_twice(server):
    for text in ("a", "b", "a"):
        publishing.publish_markdown("k", text, "about")
        publishing.publish_table("t", [{"n": text}], "about")
    assert [artifact.data for artifact in server.artifacts if artifact.key == "k"] == ["a", "b"]
    assert server.keys.count("t") == 2
    publishing.publish_markdown("k", "a", "about another")
    assert server.keys.count("k") == 3


def test_what_a_run_publishes_is_published_once_in_each_of_its_flow_runs(server, monkeypatch):
    for number in (1, 1, 2, 2):
        server.flow_run_id = UUID(int=number)
        now = SimpleNamespace(flow_run=SimpleNamespace(id=str(server.flow_run_id)))
        monkeypatch.setattr(publishing, "runtime", now)
        publish_scores("night", [])
        publishing.publish_table("of-a-stage", [{"n": 1}], "about")
    assert server.keys.count("scores-night") == server.keys.count("score-chart-night") == 2
    assert server.keys.count("of-a-stage") == 1


def test_what_is_made_from_the_same_is_not_even_made_again(server):
    made = []

    def make() -> str:
        made.append(1)
        return f"text {len(made)}"

    for digest in ("d1" * 32, "d1" * 32, "d2" * 32):
        publishing.publish_markdown("k", make, "about", of=digest)
    assert [artifact.data for artifact in server.artifacts] == ["text 1", "text 2"]


def test_a_server_out_of_reach_costs_an_artifact_and_not_the_run(server, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(publishing._logger, "warning", lambda text, *a: said.append(text % a))
    server.is_down = True
    publishing.publish_table("t", [], "about")
    assert said == ["artifact t could not be published: connection refused"]


def test_a_description_is_no_markdown(server):
    publishing.publish_table("t", [], "my_run_1: <b>")
    assert server.artifacts[0].description == r"my\_run\_1\: \<b\>"


def test_the_funnel_follows_the_filters_order_and_leaves_out_what_dropped_nothing():
    steps = funnel({"kept": 2, "below_top_k": 1, "incorrect": 4, "malformed": 3})
    assert [(row["test"], row["dropped"], row["left"]) for row in steps] == [
        ("sampled", 0, 10),
        ("malformed", 3, 7),
        ("wrong answer", 4, 3),
        ("below the top k", 1, 2),
    ]
    assert steps[-1]["share"] == "20.0%"
    text = funnel_chart(steps)
    assert "bar [10.0, 7.0, 3.0, 2.0]" in text
    assert "2 of 10 trajectories became training examples." in text


def test_a_filter_without_trajectories_has_no_shares():
    assert funnel({}) == [{"test": "sampled", "dropped": 0, "left": 0, "share": ""}]
    assert "0 of 0" in funnel_chart(funnel({}))


def test_a_stage_publishes_its_funnel_and_samples_once(sample_run, server):
    made = sample_run.made
    context = StageContext(run="demo", iteration=1)
    for _ in range(2):
        publish_funnel(config_of(sample_run), context, reference_of(made["filter 1"]["verdicts"]))
        publish_rollout_samples(
            config_of(sample_run), context, reference_of(made["filter 1"]["verdicts"])
        )
        publish_answer_samples(
            config_of(sample_run), context, reference_of(made["benchmark"]["answers"])
        )
    assert server.keys == ["filter-demo", "funnel-demo", "samples-demo", "samples-demo"]
    rollouts, answers = (artifact.data for artifact in server.artifacts[2:])
    assert "2 of 4 are right" in rollouts
    assert rollouts.count("## Right") == rollouts.count("## Wrong") == 2
    assert r"the filter says\: incorrect" in rollouts
    assert "Lyon country" in rollouts
    assert "2 of 2 are right" in answers


def test_samples_are_of_different_questions_where_there_are_enough():
    samples = [Sample(f"t{n}", f"q{n // 3}", n % 3 < 2, "") for n in range(9)]
    assert [sample.trajectory_id for sample in choose(samples)] == ["t0", "t3", "t2", "t5"]
    assert [s.trajectory_id for s in choose(samples[:2])] == ["t0", "t1"]
    assert choose([]) == []


def test_pages_in_a_trajectory_stay_text():
    page = "```\n<img src=x>\n```mermaid\ngraph TD\n# Right: yes"
    turn = {"index": 0, "action": "visit", "thought": "", "arguments": page, "error": "", "x": 1}
    trajectory = {
        "answer": "<b>Paris</b>\n# x",
        "stop_reason": "answer",
        "num_tool_calls": 1,
        "num_tokens": 9,
        "turns": [{**turn, "observation": page * 50}] * 20,
    }
    question = question_row(Question("q", "Where | is <i>it</i>?", ("Lyon", "*")))
    text = "\n\n".join(trajectory_text(Sample("t", "q", False, "x"), trajectory, question))
    outside, fence = [], ""
    for line in text.split("\n"):
        ticks = line[: len(line) - len(line.lstrip("`"))]
        if not fence and len(ticks) >= 3:
            fence = ticks
            assert line == f"{ticks}text"
        elif fence and line == fence:
            fence = ""
        elif not fence:
            outside.append(line)
    assert not fence
    assert not re.search(r"(?<!\\)[<>]", "".join(outside))
    assert [line for line in outside if line.startswith("#")] == [
        r"## Wrong: Where \| is \<i\>it\</i\>?"
    ]
    assert "… 8 more turns" in text
    assert len(text) < 30_000


def test_a_chart_has_room_above_its_highest_bar_and_escapes_its_names():
    drawn = chart({'a"]': 3.0, "b": 61.0}, "accuracy, %")
    assert 'x-axis ["a", "b"]' in drawn
    assert "0 --> 70" in drawn
    assert "0 --> 40" in chart({"all": 37.0}, "left", top=40.0)
    assert "mermaid" not in chart({}, "accuracy, %")


def test_a_policy_whose_scores_are_gone_is_left_out_of_the_chart():
    drawn = score_chart([{"name": "base", "average": None}, {"name": "last", "average": 0.5}])
    assert 'x-axis ["last"]' in drawn


def test_scores_have_a_column_for_each_policy_and_blanks_where_nothing_was_asked():
    score = {"accuracy": 0.5, "mbe": None}
    entries = [
        {"name": "base", "benchmarks": {"cities": score}, "average": 0.5, "promoted": True},
        {"name": "last", "benchmarks": {}, "average": None, "promoted": False},
    ]
    assert score_rows(entries) == [
        {"benchmark": "cities", "base": "50.0%", "last": ""},
        {"benchmark": "average", "base": "50.0%", "last": ""},
        {"benchmark": "promoted", "base": "yes", "last": "no"},
    ]


def test_the_places_of_a_run_are_commands_to_copy():
    text = places("night-1", "/data/my store")
    assert "evolvesearch show night-1 \\\n  --store '/data/my store'\n" in text
    assert r"## Run night\-1" in text


@pytest.fixture
def emitted(monkeypatch) -> list[tuple[str, dict[str, str], dict[str, Any]]]:
    heard: list[tuple[str, dict[str, str], dict[str, Any]]] = []
    monkeypatch.setattr(events, "_emit", lambda *event: heard.append(event))
    return heard


def test_only_a_budget_is_told_of_as_one(emitted):
    record = StageRecord("night", 2, "filter", "filter-1", "stopped")
    events.publish_budget(record, StageError("failed"))
    events.publish_budget(record, BudgetError("judge.budget is 1, 1 is spent"))
    ((event, resource, payload),) = emitted
    assert event == "evolvesearch.budget.reached"
    assert resource["prefect.resource.id"] == "evolvesearch.stage.filter-1"
    assert resource["prefect.resource.name"] == "filter 2 of night"
    assert payload["message"] == "judge.budget is 1, 1 is spent"


@pytest.mark.parametrize(
    ("status", "event"), [("done", "finished"), ("stopped", "stopped"), ("failed", "failed")]
)
def test_a_run_tells_how_it_ended_and_what_is_its_last_promoted_policy(emitted, status, event):
    policies = (PolicyEntry("base", 0, "b", True), PolicyEntry("iteration 1", 1, "c", False))
    record = RunRecord("night", "smoke", 0, status, "2026", policies=policies, error="why")
    events.publish_end(record)
    ((name, resource, payload),) = emitted
    assert name == f"evolvesearch.run.{event}"
    assert resource["evolvesearch.run"] == "night"
    assert (payload["policy"], payload["policy_name"], payload["policies"]) == ("b", "base", 2)
    assert payload["error"] == "why"


def documented_automation() -> dict[str, Any]:
    page = Path(__file__).parents[3] / "docs" / "events.md"
    written = re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    (automation,) = map(yaml.safe_load, written)
    return automation


def test_the_documented_automation_hears_of_what_it_names_and_says_why(emitted):
    from prefect.server.events.schemas.automations import AutomationCore, EventTrigger
    from prefect.server.events.schemas.events import ReceivedEvent
    from prefect.server.utilities.user_templates import render_user_template_sync

    written = documented_automation()
    trigger = AutomationCore.model_validate(written).trigger
    assert isinstance(trigger, EventTrigger)
    events.publish_end(RunRecord("nightly", "smoke", 0, "failed", "2026", error="no luck"))
    events.publish_end(RunRecord("other", "smoke", 0, "failed", "2026", error="no luck"))
    events.publish_end(RunRecord("nightly", "smoke", 0, "done", "2026"))
    events.publish_budget(StageRecord("nightly", 2, "rl", "rl-1", "stopped"), BudgetError("spent"))
    told = [
        ReceivedEvent(
            occurred=datetime.now(UTC), id=uuid4(), event=name, resource=resource, payload=payload
        )
        for name, resource, payload in emitted
    ]
    assert [trigger.covers(event) for event in told] == [True, False, False, True]
    (action,) = written["actions"]
    shown = [
        (
            render_user_template_sync(action["subject"], {"event": event}),
            render_user_template_sync(action["body"], {"event": event}),
        )
        for event in (told[0], told[3])
    ]
    assert shown == [
        ("nightly: evolvesearch.run.failed", "no luck"),
        ("rl 2 of nightly: evolvesearch.budget.reached", "spent"),
    ]
