"""`benchmark --benchmarks-file`: a policy of a run, and a model folder on a store without any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployments.cli.main import execute
from tasks.artifacts import ArtifactStore
from tasks.references import resolve
from training.tiny import make_tiny_policy

pytestmark = pytest.mark.assets


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    questions = [
        {"question": "Where does Ada live?", "answers": ["Lyon"], "benchmark": "tq", "id": "1"},
        {"question": "Where does Bob live?", "answers": ["Graz"], "benchmark": "mine", "id": "2"},
    ]
    pages = [{"title": name, "text": f"{name} lives in Lyon."} for name in ("Ada", "Bob")]
    for name, rows in (("questions", questions), ("pages", pages)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text)
    given = ["benchmark", "--profile", "smoke", "--json", "--search", "local"]
    given += ["--benchmarks-file", str(tmp_path / "questions.jsonl")]
    return [*given, "--corpus", str(tmp_path / "pages.jsonl"), "--set", "web.embedded=false"]


def test_a_policy_of_a_run_answers_a_files_questions(rehearsal, arguments, capfd):
    uri = rehearsal.config.store.uri
    given = ["--policy", rehearsal.name, "--store", uri, "--name", "elsewhere"]
    assert execute([*arguments, *given]) == 0
    document = json.loads(capfd.readouterr().out)
    assert set(document["benchmarks"]) == {"triviaqa", "mine"}
    assert all(row["num_questions"] == 1 for row in document["benchmarks"].values())
    store = ArtifactStore.open(uri)
    answers = store.read_table(
        resolve(store, "answers", document["artifacts"]["answers"]["digest"])
    )
    assert answers["question_id"].to_pylist() == ["mine-2", "triviaqa-1"]
    # The questions are a parent of what came of them: nothing of it would be lost to `gc`.
    trajectories = resolve(
        store, "trajectories", document["artifacts"]["trajectories"]["reference"]
    )
    parents = {parent.kind: parent for parent in store.manifest(trajectories).parents}
    assert parents["questions"] == resolve(store, "questions", document["inputs"]["questions"])
    # One of them alone, and again: only what was not scored is sampled.
    assert execute([*arguments, *given, "--benchmarks", "TQ"]) == 0
    again = json.loads(capfd.readouterr().out)
    assert list(again["benchmarks"]) == ["triviaqa"]
    assert again["inputs"]["questions"] == document["inputs"]["questions"]


def test_a_model_folder_is_scored_on_a_store_without_any_run(
    prefect_api, arguments, tmp_path, capfd
):
    texts = [f"Who lives in {place}? Ada lives in {place}." for place in ("Lyon", "Graz")] * 50
    folder = make_tiny_policy(tmp_path / "model", texts, seed=0, vocabulary=270)
    given = ["--policy", str(folder), "--store", str(tmp_path / "store")]
    given += ["--set", "agents.max_context_tokens=2048"]
    assert execute([*arguments, *given]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["status"] == "done"
    assert set(document["benchmarks"]) == {"triviaqa", "mine"}
    assert execute([*arguments, *given, "--name", "another"]) == 0
    again = json.loads(capfd.readouterr().out)
    assert again["reused"] is True
    assert again["artifacts"] == document["artifacts"]
