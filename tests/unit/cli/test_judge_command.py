"""`evolvesearch judge-agreement` through the entry point, with a chat API on loopback."""

from __future__ import annotations

import json

import pytest

from deployments.cli.main import execute

QUESTION = {"question": "Where is the Louvre?", "answers": ["Paris", "Paris, France"]}
ROWS = [
    {**QUESTION, "predicted": "paris", "label": True, "id": "exact"},
    {**QUESTION, "predicted": "in the capital of France", "label": True, "id": "paraphrase"},
    {**QUESTION, "predicted": "in Lyon", "label": False, "id": "wrong"},
    {**QUESTION, "predicted": "in Marseille", "label": True, "id": "mislabelled"},
    {**QUESTION, "predicted": "near the river", "id": "unlabelled"},
]
RIGHT, WRONG = '{"judgement": "Correct"}', '{"judgement": "Incorrect"}'


@pytest.fixture
def ask(tmp_path, chat_server, monkeypatch, capsys):
    monkeypatch.setenv("JUDGE_KEY", "sk-secret-77")
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    chat_server.by_text = {"capital": RIGHT, "Lyon": WRONG, "Marseille": WRONG, "river": "prose"}

    def run(*arguments, code=0):
        settings = [
            f"benchmark.judge.api.url={chat_server.url}",
            "benchmark.judge.api.key_variable=JUDGE_KEY",
            "benchmark.judge.num_retries=0",
        ]
        words = [word for setting in settings for word in ("--set", setting)]
        store = ["--store", str(tmp_path / "store")]
        assert execute(["judge-agreement", str(path), *words, *store, *arguments]) == code
        said = capsys.readouterr()
        assert "sk-secret-77" not in said.out + said.err
        return said

    return run


def test_judges_and_people_are_compared_pair_by_pair(ask, chat_server):
    document = json.loads(ask("--judge", "rules", "--judge", "webdancer:m", "--json").out)
    assert (document["num_answers"], document["num_labelled"]) == (5, 4)
    rules, model = document["judges"]
    assert (rules["num_correct"], rules["num_incorrect"], rules["cost"]) == (1, 4, 0.0)
    assert model["judge"].startswith("m webdancer@")
    counts = [model[f"num_{n}"] for n in ("correct", "incorrect", "unjudged", "by_rule", "cached")]
    assert counts == [2, 2, 1, 1, 0]
    assert model["accuracy"] == 0.5
    pairs = {(pair["first"], pair["second"]): pair for pair in document["pairs"]}
    assert list(pairs) == [("people", "rules"), ("people", "webdancer:m"), ("rules", "webdancer:m")]
    people = pairs["people", "webdancer:m"]
    assert (people["agreement"], people["kappa"], people["num_unjudged"]) == (0.75, 0.5, 1)
    cells = {"both_right": 2, "only_first": 1, "only_second": 0, "both_wrong": 1}
    assert people["confusion"] == cells
    differing = {row["id"]: row for row in document["disagreements"]}
    assert list(differing) == ["paraphrase", "mislabelled"]
    marks = differing["paraphrase"]["marks"]
    assert [marks[name]["correct"] for name in ("rules", "webdancer:m")] == [False, True]

    # Verdicts are kept in the store; the one that failed is asked for again.
    again = json.loads(ask("--judge", "webdancer:m", "--json").out)
    assert again["judges"][0]["num_cached"] == 3
    assert len(chat_server.asked) == 5


def test_people_see_tables_and_the_disagreements(ask):
    said = ask("--judge", "webdancer:m").out
    assert "people / webdancer:m" in said
    assert "75.0 (" in said
    assert "mislabelled: Where is the Louvre? 'in Marseille' for 'Paris' (people: right" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--judge", "gpt"], "unknown judge 'gpt'"),
        (["--judge", "api"], "judge 'api' has no model"),
        (["--judge", "api:m", "--set", "benchmark.judge.api.key_variable=NONE"], "has no NONE"),
        # `ask` sees to it that no key is in any output.
        (["--set", "benchmark.judge.api.url=http://me:sk-secret-77@h/v1"], "it must hold no keys"),
    ],
)
def test_bad_usage_is_one_line(ask, arguments, says):
    said = ask(*arguments, code=2)
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert says in said.err


def test_one_judge_alone_has_nothing_to_be_compared_with(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**QUESTION, "predicted": "x"}))
    assert execute(["judge-agreement", str(path)]) == 2
    assert "nothing to compare rules with" in capsys.readouterr().err
