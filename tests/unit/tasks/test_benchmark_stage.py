"""The benchmark stage over a model behind an API on loopback: attempts, judges, reuse, faults."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_server import ChatServer
from safetensors.numpy import save_file

from agents.errors import BudgetError, StageError, UsageError
from agents.trajectory import Question
from tasks import sampled
from tasks.artifacts import ArtifactStore
from tasks.benchmark import breakdown, gate_decision, score_policy, scores_of
from tasks.benchmark_rows import PROTOCOL
from tasks.config import StageConfig, StageContext
from tasks.references import reference_of
from tasks.rows import question_row
from tasks.stage import StageOutcome

GOLDEN = Path(__file__).parents[2] / "golden"
QUESTIONS = [
    Question("nq-1", "Where is the Louvre?", ("Paris",), "where", "nq", 1),
    Question("nq-2", "Where is the Prado?", ("Madrid",), "where", "nq", 2),
    Question("pop-1", "Who made the David?", ("Michelangelo",), "who", "pop", 1),
    Question("g-1", "Where is the Uffizi?", ("Florence",), "where", "gate", 1),
]
RIGHT = json.dumps({"rationale": "The same.", "judgement": "correct"})


def answer(text: str) -> str:
    return f"<think>t</think><answer>{text}</answer>"


class Bench:
    """A store with questions, and a chat API that plays the policy and the judge."""

    def __init__(self, folder: Path, server: ChatServer) -> None:
        self.folder, self.server = folder, server
        self.store = ArtifactStore.open(folder / "store")
        self.questions = reference_of(
            self.store.write_table(
                "questions",
                [question_row(question) for question in QUESTIONS],
                stage_key="import-1",
                name="questions",
                metadata={"web": "w"},
            )
        )

    def config(self, model: str = "teacher", **benchmark: Any) -> StageConfig:
        api = {"url": self.server.url, "key_variable": "", "max_retries": 0}
        priced = {**api, "model": model, "input_price": 1000.0, "output_price": 1000.0}
        judge = benchmark.pop("judge", {})
        if judge:
            judge = {"kind": "api", "num_retries": 0, "api": {**api, "model": "referee"} | judge}
        return StageConfig.model_validate(
            {
                "model": str(self.folder / "model"),
                "engine": {"kind": "openai", "openai": priced, "batch_size": 1},
                "web": {"embedded": False, "corpus": [str(self.folder / "pages.jsonl")]},
                "store": {"uri": str(self.folder / "store")},
                "benchmark": {**benchmark, **({"judge": judge} if judge else {})},
            }
        )

    def run(self, config: StageConfig, gate: bool = False, redo: str = "") -> StageOutcome:
        context = StageContext(run="r", redo=(redo,) if redo else (), fresh_since="9")
        policy = f"openai:{config.engine.openai.model}"
        return score_policy.fn(config, context, self.questions, policy, gate)

    def rows(self, outcome: StageOutcome, name: str = "answers") -> list[dict[str, Any]]:
        return self.store.read_table(outcome.artifacts[name]).to_pylist()


@pytest.fixture
def bench(tmp_path: Path, chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> Bench:
    from transformers import PreTrainedTokenizerFast

    model = tmp_path / "model"
    PreTrainedTokenizerFast(
        tokenizer_file=str(GOLDEN / "chatml_tokenizer.json"),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=(GOLDEN / "chatml.jinja").read_text(),
    ).save_pretrained(model)
    (model / "config.json").write_text("{}")
    save_file({"weight": np.zeros(2, np.float32)}, model / "model.safetensors")
    page = {"title": "Louvre", "text": "The Louvre is in Paris."}
    (tmp_path / "pages.jsonl").write_text(json.dumps(page) + "\n")

    def here(entry: str, payload: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        module, _, name = entry.partition(":")
        made: Callable[..., dict[str, Any]] = getattr(importlib.import_module(module), name)
        return made(json.loads(json.dumps(payload)), lambda _event: None)

    monkeypatch.setattr(sampled, "run_heavy", here)
    return Bench(tmp_path, chat_server)


def test_each_benchmark_has_its_scores_and_each_answer_its_price(bench: Bench) -> None:
    bench.server.by_text = {"Louvre": answer("Paris"), "": answer("I am not sure")}
    outcome = bench.run(bench.config())
    scores = scores_of(bench.config(), reference_of(outcome.artifacts["benchmarks"]))
    assert {name: score.num_questions for name, score in scores.items()} == {"nq": 2, "pop": 1}
    nq = scores["nq"]
    assert (nq.em, nq.accuracy, nq.mbe, nq.unjudged, nq.pass_at_k) == (0.5, 0.5, 0.5, 0, 0.5)
    assert nq.ci_low == pytest.approx(0.0945, abs=1e-3)
    # 10 tokens in and 5 out, each at a thousandth of the currency.
    assert nq.cost == pytest.approx(0.015)
    assert nq.seconds is not None
    assert nq.seconds > 0
    rows = bench.rows(outcome)
    assert {row["policy"] for row in rows} == {bench.store.resolve_policy(rows[0]["policy"]).digest}
    assert [(row["family"], row["num_hops"], row["judged_by"]) for row in rows] == [
        ("where", 1, "rules"),
        ("where", 2, "rules"),
        ("who", 1, "rules"),
    ]
    parts = breakdown(bench.store, bench.store.manifest(outcome.artifacts["answers"]))
    assert list(parts) == ["nq"]
    assert {hops: row["accuracy"] for hops, row in parts["nq"]["by_hops"].items()} == {
        "1": 1.0,
        "2": 0.0,
    }


def test_attempts_of_a_question_count_as_one_question(bench: Bench) -> None:
    config = bench.config(names=["pop"], num_attempts=3, temperature=0.6, top_p=0.95)
    bench.server.replies = [answer("Donatello"), answer("Michelangelo"), answer("Bernini")]
    outcome = bench.run(config)
    assert [row["attempt"] for row in bench.rows(outcome)] == [0, 1, 2]
    [row] = bench.rows(outcome, "benchmarks")
    assert (row["num_questions"], row["num_answers"], row["k"]) == (1, 3, 3)
    assert (row["pass_at_k"], row["cons_at_k"]) == (1.0, pytest.approx(1 / 3))
    assert {(asked["temperature"], asked["top_p"]) for asked in bench.server.asked} == {(0.6, 0.95)}
    assert len({asked["seed"] for asked in bench.server.asked}) == 3


def test_another_judge_or_normalisation_samples_nothing_anew(bench: Bench) -> None:
    bench.server.replies = [answer("The Paris")]
    first = bench.run(bench.config(names=["nq"]))
    num_asked = len(bench.server.asked)
    again = bench.run(bench.config(names=["nq"], normalisation="deepresearcher"))
    assert len(bench.server.asked) == num_asked
    assert not again.reused
    assert again.artifacts["trajectories"].digest == first.artifacts["trajectories"].digest
    assert [row["em"] for row in bench.rows(first)] == [1.0, 0.0]
    assert [row["em"] for row in bench.rows(again)] == [0.0, 0.0]
    # One's own judge is asked about what no rule decides, and about nothing else.
    bench.server.replies = [RIGHT]
    judged = bench.run(bench.config(names=["nq"], judge={"max_retries": 1}))
    assert {asked["model"] for asked in bench.server.asked[num_asked:]} == {"referee"}
    assert [row["judge"] for row in bench.rows(judged)] == [1.0, 1.0]
    protocol = bench.store.manifest(judged.artifacts["benchmarks"]).metadata[PROTOCOL]
    assert protocol["judge"].startswith("referee ")
    # Whoever wants it anew gets it anew.
    num_asked = len(bench.server.asked)
    bench.run(bench.config(names=["nq"], normalisation="deepresearcher"), redo="benchmark")
    assert len(bench.server.asked) == num_asked + 2


def test_what_answers_depend_on_makes_them_anew(bench: Bench) -> None:
    bench.server.replies = [answer("Paris")]
    bench.run(bench.config(names=["nq"]))
    num_asked = len(bench.server.asked)
    bench.run(bench.config(names=["nq"], temperature=0.5))
    assert len(bench.server.asked) == num_asked + 2
    bench.run(bench.config("other", names=["nq"]))
    assert len(bench.server.asked) == num_asked + 4


def test_a_judge_that_rambles_leaves_answers_unjudged(bench: Bench) -> None:
    bench.server.replies = [answer("Paris"), answer("Barcelona, Spain"), "I would say it is fine."]
    outcome = bench.run(bench.config(names=["nq"], judge={"max_retries": 0}))
    [row] = bench.rows(outcome, "benchmarks")
    # Right by exact match without a question; the other neither right nor wrong.
    assert (row["mbe"], row["unjudged"], row["num_questions"]) == (1.0, 1, 2)
    assert (row["accuracy"], outcome.metrics["unjudged"]) == (0.5, 1.0)
    [unjudged] = [row for row in bench.rows(outcome) if row["judge"] is None]
    assert unjudged["judge_reason"]


def test_a_judge_whose_budget_is_spent_goes_on_where_it_stopped(bench: Bench) -> None:
    bench.server.replies = [answer("Barcelona"), answer("Toledo"), RIGHT]
    prices = {"input_price": 1000.0, "output_price": 1000.0}
    with pytest.raises(BudgetError, match=r"benchmark\.judge"):
        bench.run(bench.config(names=["nq"], judge={**prices, "budget": 0.001}))
    num_asked = len(bench.server.asked)
    outcome = bench.run(bench.config(names=["nq"], judge={**prices, "budget": 100.0}))
    assert {asked["model"] for asked in bench.server.asked[num_asked:]} == {"referee"}
    assert outcome.metrics["judge_cost"] == pytest.approx(0.03)


def test_attempts_that_infrastructure_ended_are_counted_apart(bench: Bench) -> None:
    bench.server.by_text = {"Louvre": answer("Paris"), "Prado": 500}
    outcome = bench.run(bench.config(names=["nq"]))
    [row] = bench.rows(outcome, "benchmarks")
    assert (row["num_questions"], row["failed"], row["accuracy"]) == (1, 1, 1.0)


def test_nothing_scored_is_an_error_and_no_score_of_zero(bench: Bench) -> None:
    bench.server.replies = [500]
    with pytest.raises(StageError):
        bench.run(bench.config(names=["nq"]))
    with pytest.raises(UsageError, match="unknown benchmark"):
        bench.run(bench.config(names=["hotpotqa"]))


def test_the_gate_asks_each_question_once_and_greedily(bench: Bench) -> None:
    bench.server.replies = [answer("Florence")]
    config = bench.config(num_attempts=3, temperature=0.6, top_p=0.9)
    [row] = bench.rows(bench.run(config, gate=True), "benchmarks")
    assert (row["benchmark"], row["num_answers"], row["k"]) == ("gate", 1, 1)
    assert [(asked["temperature"], asked["top_p"]) for asked in bench.server.asked] == [(0.0, 1.0)]
    # How benchmarks are sampled is nothing to it.
    again = bench.run(bench.config(), gate=True)
    assert len(bench.server.asked) == 1
    assert bench.rows(again)[0]["accuracy"] == 1.0


def test_the_gate_decides_by_the_judges_marks(bench: Bench) -> None:
    config = bench.config(judge={"max_retries": 0})
    bench.server.replies = [answer("Rome"), json.dumps({"rationale": "", "judgement": "incorrect"})]
    worse = bench.run(config, gate=True)
    bench.server.replies = [answer("Firenze"), RIGHT]
    better = bench.run(bench.config("better", judge={"max_retries": 0}), gate=True)
    assert [row["accuracy"] for row in bench.rows(better)] == [0.0]
    references = [reference_of(made.artifacts["answers"]) for made in (worse, better)]
    assert gate_decision(config, *references).promoted
    assert not gate_decision(config, *reversed(references)).promoted
