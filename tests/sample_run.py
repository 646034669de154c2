"""A small run with every stage's artifacts, written through the store itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from agents.snapshots import PageRecorder
from agents.trajectory import PageView, Question, StopReason, Trajectory, Turn, trajectory_id_of
from tasks.artifacts import ArtifactStore
from tasks.manifest import ArtifactRef
from tasks.rows import page_row, question_row, trajectory_row
from tasks.runs import PolicyEntry, RunLog, RunRecord, StageRecord

BENCHMARK = "more_hops"
LYON, FRANCE = "http://wiki.local/Lyon", "http://wiki.local/France"


@dataclass
class SampleRun:
    """A run `demo` of one iteration, its artifacts by stage and name.

    `construct` → `cold_start` → `filter 0` → `sft 0` → `rollout` → `filter 1` → `sft 1` → `rl` →
    `benchmark`.
    """

    store: ArtifactStore
    name: str = "demo"
    made: dict[str, dict[str, ArtifactRef]] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)

    def write(self, stage: str, kind: str, rows: list, parents: list[ArtifactRef]) -> ArtifactRef:
        ref = self.store.write_table(
            kind,
            rows,
            stage_key=self.key(stage),
            name=kind,
            parents=parents,
            run=self.name,
            iteration=self.iteration(stage),
        )
        self.made.setdefault(stage, {})[kind] = ref
        return ref

    def policy(self, stage: str, folder: Path, parents: list[ArtifactRef]) -> ArtifactRef:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps({"name": f"{self.name} {stage}"}))
        (folder / "model.safetensors").write_bytes(f"{self.name} {stage}".encode() * 100)
        ref = self.store.write_policy(
            folder,
            stage_key=self.key(stage),
            parents=parents,
            run=self.name,
            iteration=self.iteration(stage),
        )
        self.made.setdefault(stage, {})["policy"] = ref
        return ref

    def rollouts(
        self, stage: str, ids: list[str], policy: ArtifactRef, source: str
    ) -> list[Trajectory]:
        """Trajectories that each searched for Lyon and, every other, read France."""
        questions = self.made["construct"]["questions"]
        recorder, digest = PageRecorder(), policy.digest
        sampled_by = "construction" if source == "construction" else digest
        trajectories = [
            rollout(recorder, question_id, index, sampled_by, source, self.iteration(stage))
            for question_id in ids
            for index in range(2)
        ]
        known = recorder.drain()
        self.pages |= {page.url: page.page for page in known}
        parents = [questions, policy]
        seen = self.write(stage, "pages", [page_row(page) for page in known], parents)
        self.write(
            stage, "trajectories", [trajectory_row(t) for t in trajectories], [*parents, seen]
        )
        return trajectories

    def filter(self, stage: str, trajectories: list[Trajectory], of: str) -> ArtifactRef:
        """Keeps the first of each question's two trajectories."""
        parents = [self.made["construct"]["questions"], self.made[of]["trajectories"]]
        rewards, verdicts, examples = [], [], []
        for rank, t in enumerate(trajectories, 1):
            own = {"trajectory_id": t.trajectory_id, "question_id": t.question_id}
            kept = t.rollout_index == 0
            reason = "kept" if kept else "incorrect"
            score = float(kept)
            rewards.append({**own, "format": 1.0, "answer": score, "total": 0.5 + score / 2})
            verdicts.append({**own, "kept": kept, "reason": reason, "rank": rank if kept else None})
            if kept:
                tokens = {"token_ids": list(t.token_ids), "loss_mask": list(t.loss_mask)}
                examples.append({**own, **tokens})
        self.write(stage, "rewards", rewards, parents)
        self.write(stage, "verdicts", verdicts, parents)
        return self.write(stage, "sft_examples", examples, parents)

    def key(self, stage: str) -> str:
        return f"{stage.replace(' ', '_')}-{self.name}"

    @staticmethod
    def iteration(stage: str) -> int:
        return 0 if stage in ("construct", "cold_start", "filter 0", "sft 0") else 1


def rollout(
    recorder: PageRecorder, question_id: str, index: int, policy: str, source: str, iteration: int
) -> Trajectory:
    lyon = recorder.note(LYON, "Lyon (city)", "Lyon is a city in France.")
    views = [PageView(0, "search", "Lyon country", LYON, lyon)]
    if index % 2:
        france = recorder.note(FRANCE, "France (country)", "The currency of France is euro.")
        views.append(PageView(1, "visit", "currency", FRANCE, france))
    return Trajectory(
        trajectory_id=trajectory_id_of(policy, source, iteration, question_id, index),
        question_id=question_id,
        rollout_index=index,
        policy=policy,
        iteration=iteration,
        source=source,
        temperature=0.7,
        token_ids=(1, 2, 3, index),
        loss_mask=(0, 0, 1, 1),
        logprobs=(0.0, 0.0, -0.5, -0.25),
        num_prompt_tokens=2,
        turns=(Turn(0, "", "", "search", '{"query":["Lyon country"]}', urls=(LYON,)),),
        answer="euro" if index == 0 else "franc",
        stop_reason=StopReason.ANSWER,
        format_ok=True,
        num_tool_calls=len(views),
        page_views=tuple(views),
    )


def make_sample_run(store: ArtifactStore, scratch: Path, name: str = "demo") -> SampleRun:
    run = SampleRun(store, name)
    train = [Question(f"q{i}", f"Question {i} of {name}?", ("euro",)) for i in range(2)]
    held_out = [Question(f"b{i}", "Held out?", ("euro",), split=BENCHMARK) for i in range(2)]
    questions = run.write("construct", "questions", [*map(question_row, train + held_out)], [])
    base = run.policy("construct", scratch / name / "base", [])
    built = run.rollouts("cold_start", ["q0"], base, "construction")
    examples = run.filter("filter 0", built, "cold_start")
    cold = run.policy("sft 0", scratch / name / "cold", [base, examples])
    sampled = run.rollouts("rollout", ["q0", "q1"], cold, "rollout")
    examples = run.filter("filter 1", sampled, "rollout")
    tuned = run.policy("sft 1", scratch / name / "tuned", [cold, examples])
    run.rollouts("rl", ["q1"], tuned, "rl")
    explored = run.made["rl"]["trajectories"]
    final = run.policy("rl", scratch / name / "final", [questions, tuned, explored])
    asked = run.rollouts("benchmark", ["b0", "b1"], final, "benchmark")
    parents = [questions, final, run.made["benchmark"]["trajectories"]]
    answers = [
        {
            "policy": final.digest,
            "benchmark": BENCHMARK,
            "question_id": t.question_id,
            "trajectory_id": t.trajectory_id,
            "predicted": t.answer,
            "golds": ["euro"],
            "em": 1.0,
            "f1": 1.0,
            "accuracy": 1.0,
            "judge": None,
            "stop_reason": "answer",
            "num_tokens": 4,
            "num_tool_calls": 1,
        }
        for t in asked
        if t.rollout_index == 0
    ]
    answered = run.write("benchmark", "answers", answers, parents)
    scores = {"num_questions": 2, "em": 1.0, "f1": 1.0, "accuracy": 1.0}
    row = {"policy": final.digest, "benchmark": BENCHMARK, **scores, "ci_low": 0.3, "ci_high": 1.0}
    run.write("benchmark", "benchmarks", [row], [questions, final, answered])
    _record(run, [("base", 0, base), ("cold start", 0, cold), ("iteration 1", 1, final)])
    return run


def _record(run: SampleRun, measured: list[tuple[str, int, ArtifactRef]]) -> None:
    log = RunLog(run.store.objects)
    for second, (stage, artifacts) in enumerate(run.made.items()):
        log.save_stage(
            StageRecord(
                run.name,
                run.iteration(stage),
                stage.partition(" ")[0],
                run.key(stage),
                "done",
                artifacts=tuple(artifacts.values()),
                started_at=f"2026-01-02T03:04:{second:02d}.000+00:00",
            )
        )
    entries = tuple(PolicyEntry(name, i, ref.digest, True) for name, i, ref in measured)
    started = "2026-01-02T03:04:00.000+00:00"
    log.save_run(RunRecord(run.name, "smoke", 7, "done", started, policies=entries))
