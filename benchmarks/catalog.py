"""Times the catalog: opening it, a query of one iteration, and the lineage of one score.

Run as `python benchmarks/catalog.py [--manifests N]`. A store with so many manifests is made in a
temporary folder: one run whose tables are as large as those of a laptop's run, and as many more
runs as it takes, of which only manifests and records are there. Times are of this process, with
all libraries imported; the ratio is to reading every manifest of the store one after the other.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agents.snapshots import PageRecorder
from agents.trajectory import PageView, Question, StopReason, Trajectory, Turn, trajectory_id_of
from tasks.artifacts import ArtifactStore
from tasks.catalog import Catalog
from tasks.lineage.refs import resolve_node
from tasks.lineage.steps import lineage_down, lineage_up
from tasks.lineage.store import LineageStore
from tasks.manifest import ROWS_ITERATION, ArtifactRef, Manifest, StoredFile
from tasks.rows import page_row, question_row, trajectory_row
from tasks.runs import PolicyEntry, RunLog, RunRecord, StageRecord

_BENCHMARK = "more_hops"
_MANIFESTS_A_RUN = 40
_STAGES_A_RUN = 15
_TOKENS = 388


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifests", type=int, default=10_000)
    parser.add_argument("--rollouts", type=int, default=384, help="of the run with tables")
    parser.add_argument("--questions", type=int, default=448, help="of its benchmarks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="catalog-benchmark-") as name:
        folder = Path(name)
        store = ArtifactStore.open(folder / "store")
        make_run(store, folder, options.rollouts, options.questions)
        fill(store, options.manifests)
        os.environ["EVOLVESEARCH_CACHE"] = str(folder / "cache")
        measure(store, options.manifests)


def measure(store: ArtifactStore, num_manifests: int) -> None:
    print(f"{num_manifests:,} manifests")
    print(f"{'':<36}{'seconds':>9}{'goal':>7}{'of reading all':>16}")
    plain = timed(lambda: ArtifactStore.open(store.uri).manifests())[0]
    line("reading every manifest", plain, None, plain)

    def opened() -> Catalog:
        return Catalog(store)

    first, catalog = timed(opened)
    line("opening, the first time", first, 2.0, plain)
    catalog.close()
    again, catalog = min((timed(opened) for _ in range(3)), key=lambda pair: pair[0])
    line("opening, nothing changed", again, 0.2, plain)
    manifest(store, "one-more", "verdicts", "one-more", 1, [])
    changed, catalog = timed(opened)
    line("opening, one manifest more", changed, None, plain)
    sql = "select action, count(*) from turns where run = 'real' and iteration = 1 group by all"
    line("query of one run and iteration", timed(lambda: catalog.query(sql))[0], None, plain)
    ref = f"real/1/{_BENCHMARK}"
    alone, (num_nodes, num_edges) = timed(lambda: lineage(store, catalog, ref))
    line("lineage of one score", alone, 0.5, plain)
    line("opening and lineage of one score", again + alone, None, plain)
    print(f"the lineage has {num_nodes:,} nodes and {num_edges:,} edges")


def lineage(store: ArtifactStore, catalog: Catalog, ref: str) -> tuple[int, int]:
    known = LineageStore(store, catalog.index)
    node, place = resolve_node(known, ref)
    down, up = lineage_down(known, node, place), lineage_up(known, node, place)
    return len(down.nodes | up.nodes), len(down.edges + up.edges)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def line(what: str, seconds: float, goal: float | None, plain: float) -> None:
    aim = "" if goal is None else f"{goal:.1f}"
    print(f"{what:<36}{seconds:>9.3f}{aim:>7}{seconds / plain:>16.3f}", flush=True)


def fill(store: ArtifactStore, num_manifests: int) -> None:
    """Adds runs of which only manifests and records are there."""
    missing = num_manifests - len(store.manifests())
    log = RunLog(store.objects)
    numbers = iter(range(missing))
    for run in range(-(-missing // _MANIFESTS_A_RUN)):
        name = f"run-{run:05d}"
        made: list[ArtifactRef] = []
        for number, _ in zip(range(_MANIFESTS_A_RUN), numbers, strict=False):
            kind = ("trajectories", "verdicts", "rewards", "pages")[number % 4]
            parents = made[-3:]
            made.append(
                manifest(store, f"stage-{run:05d}-{number // 3}", kind, name, number, parents)
            )
        for stage in range(_STAGES_A_RUN):
            refs = tuple(made[stage * 2 : stage * 2 + 2])
            log.save_stage(
                StageRecord(name, stage, "rollout", f"stage-{run:05d}-{stage}", "done", "", refs)
            )
        log.save_run(RunRecord(name, "laptop", run, "done", f"2026-01-01T00:00:{run:05d}"))


def manifest(
    store: ArtifactStore, key: str, kind: str, run: str, number: int, parents: list[ArtifactRef]
) -> ArtifactRef:
    digest = f"{random.Random(f'{key}{number}').getrandbits(256):064x}"
    ref = ArtifactRef(kind, digest, key, f"{kind}-{number}")
    path = f"artifacts/{kind}/{digest}/rows.parquet"
    document = Manifest(
        ref=ref,
        files=(StoredFile(path, 100_000, digest),),
        num_rows=100,
        parents=tuple(parents),
        code_version="0" * 16,
        run=run,
        iteration=number % 3,
        created_at=f"2026-01-01T00:00:{number:05d}",
        metadata={"metrics": {"num_trajectories": 384, "answered": 0.9}},
    )
    store.objects.put_new(f"manifests/{key}/{ref.name}.json", document.to_bytes())
    return ref


def make_run(store: ArtifactStore, folder: Path, num_rollouts: int, num_asked: int) -> None:
    """A run with all its tables: cold start, rollouts, SFT, benchmark of two policies in a row."""
    log = RunLog(store.objects)

    def write(stage: str, kind: str, rows: list[Any], parents: list[ArtifactRef]) -> ArtifactRef:
        return store.write_table(
            kind,
            rows,
            stage_key=f"{stage}-real",
            name=kind,
            parents=parents,
            run="real",
            iteration=1,
            metadata={ROWS_ITERATION: 1},
        )

    def policy(stage: str, parents: list[ArtifactRef]) -> ArtifactRef:
        model = folder / stage
        model.mkdir()
        (model / "config.json").write_text("{}")
        (model / "model.safetensors").write_bytes(stage.encode())
        return store.write_policy(
            model, stage_key=f"{stage}-real", parents=parents, run="real", iteration=1
        )

    asked = [Question(f"q{i:05d}", f"Question {i}?", ("euro",)) for i in range(4000)]
    held = [
        Question(f"b{i:05d}", "Held out?", ("euro",), split=_BENCHMARK) for i in range(num_asked)
    ]
    questions = write("construct", "questions", [question_row(q) for q in asked + held], [])
    current = policy("construct", [])
    for stage in ("cold", "tuned"):
        recorder = PageRecorder()
        sampled = [*rollouts(recorder, asked[: num_rollouts // 6], 6, current.digest, "rollout")]
        origin = [questions, current]
        pages = write(f"r-{stage}", "pages", [page_row(p) for p in recorder.drain()], origin)
        rows = [trajectory_row(t) for t in sampled]
        recorded = write(f"r-{stage}", "trajectories", rows, [*origin, pages])
        own = [{"trajectory_id": t.trajectory_id, "question_id": t.question_id} for t in sampled]
        of = [questions, recorded]
        write(
            f"f-{stage}", "rewards", [r | {"format": 1, "answer": 1, "total": 1} for r in own], of
        )
        kept = {"kept": True, "reason": "kept", "rank": 1}
        write(f"f-{stage}", "verdicts", [r | kept for r in own], of)
        tokens = {"token_ids": [1] * _TOKENS, "loss_mask": [1] * _TOKENS}
        examples = write(f"f-{stage}", "sft_examples", [r | tokens for r in own[::6]], of)
        current = policy(stage, [current, examples])
    recorder = PageRecorder()
    answered = [*rollouts(recorder, held, 1, current.digest, "benchmark")]
    origin = [questions, current]
    pages = write("benchmark", "pages", [page_row(p) for p in recorder.drain()], origin)
    rows = [trajectory_row(t) for t in answered]
    recorded = write("benchmark", "trajectories", rows, [*origin, pages])
    means = {"em": 1.0, "f1": 1.0, "accuracy": 1.0}
    of_policy = {"policy": current.digest, "benchmark": _BENCHMARK}
    ending = {"judge": None, "stop_reason": "answer", "num_tokens": _TOKENS, "num_tool_calls": 3}
    answers = [
        {
            **of_policy,
            **means,
            **ending,
            "question_id": t.question_id,
            "trajectory_id": t.trajectory_id,
            "predicted": "euro",
            "golds": ["euro"],
        }
        for t in answered
    ]
    answer_table = write("benchmark", "answers", answers, [*origin, recorded])
    score = of_policy | means | {"num_questions": num_asked, "ci_low": 0.9, "ci_high": 1.0}
    scores = write("benchmark", "benchmarks", [score], [*origin, answer_table])
    entry = PolicyEntry("iteration 1", 1, current.digest, True)
    log.save_stage(StageRecord("real", 1, "benchmark", "benchmark-real", "done", "", (scores,)))
    log.save_run(RunRecord("real", "laptop", 0, "done", "2026-01-01", policies=(entry,)))


def rollouts(
    recorder: PageRecorder, questions: list[Question], each: int, policy: str, source: str
) -> Iterator[Trajectory]:
    rng = random.Random(f"{policy}{source}")
    for question in questions:
        for index in range(each):
            views, turns = [], []
            for turn in range(3):
                for number in rng.sample(range(2000), 3):
                    url, text = f"http://wiki.local/{number}", f"Page {number}. " * 80
                    page = recorder.note(url, f"Page {number}", text)
                    views.append(PageView(turn, "search", f"query {turn}", url, page))
                turns.append(Turn(turn, "t" * 80, "t" * 40, "search", "{}", "o" * 400))
            yield Trajectory(
                trajectory_id=trajectory_id_of(policy, source, 1, question.question_id, index),
                question_id=question.question_id,
                rollout_index=index,
                policy=policy,
                iteration=1,
                source=source,
                temperature=0.7,
                token_ids=tuple(rng.choices(range(49_000), k=_TOKENS)),
                loss_mask=(1,) * _TOKENS,
                logprobs=(-0.5,) * _TOKENS,
                num_prompt_tokens=100,
                turns=tuple(turns),
                answer="euro",
                stop_reason=StopReason.ANSWER,
                format_ok=True,
                num_tool_calls=3,
                page_views=tuple(views),
            )


if __name__ == "__main__":
    main()
