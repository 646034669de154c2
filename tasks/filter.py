"""The filter stage: rewards, verdicts and the SFT examples that are kept."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.filter_tables import examples_of, filter_columns
from tasks.judge_cache import reward_judge
from tasks.manifest import ArtifactRef
from tasks.references import resolve
from tasks.stage import StageOutcome, StageWork, run_stage
from tasks.stage_task import stage_task
from tasks.storage.table_files import checked_table_file
from training.filters import filter_trajectories
from training.rewards import reward_table


@stage_task("reward and judge trajectories")
def filter_stage(
    config: StageConfig, context: StageContext, questions: str, trajectories: str
) -> StageOutcome:
    """Rewards trajectories and keeps the best as training examples.

    Args:
        config: The configuration.
        context: Which stage of which run it is.
        questions: Reference of the questions, for their right answers.
        trajectories: Reference of the trajectories.

    Returns:
        The artifacts `sft_examples`, `verdicts` and `rewards`.
    """
    store = ArtifactStore.open(config.store)
    inputs = {
        "questions": resolve(store, "questions", questions),
        "trajectories": resolve(store, "trajectories", trajectories),
    }
    work = StageWork(
        stage="filter",
        config={"reward": config.reward.that_matters, "filter": config.filter},
        inputs=list(inputs.values()),
        outputs=("sft_examples", "verdicts", "rewards"),
        seed=config.seed,
        compute=lambda lease: _filter(store, config, context, lease.key, inputs),
        key_iteration=context.iteration,
    )
    return run_stage(store, context, work)


def _filter(
    store: ArtifactStore,
    config: StageConfig,
    context: StageContext,
    key: str,
    inputs: dict[str, ArtifactRef],
) -> None:
    questions = {q.question_id: q for q in store.read_questions(inputs["questions"])}
    file = checked_table_file(store, store.manifest(inputs["trajectories"]))
    signatures = config.filter.near_duplicate_similarity is not None
    trajectories = filter_columns(file, signatures=signatures)
    with reward_judge(store, config) as judged:
        rewards = reward_table(trajectories, questions, config.reward, judged)
    verdicts = filter_trajectories(trajectories, rewards, config.filter)
    kept = verdicts.filter(verdicts["kept"])["trajectory_id"]
    totals = [total for total in rewards["total"].to_pylist() if total is not None]
    num_correct = pc.sum(pc.greater_equal(rewards["answer"], 1.0)).as_py() or 0
    metrics = {
        "num_trajectories": len(rewards),
        "num_kept": len(kept),
        "correct": num_correct / max(1, len(rewards)),
        "reward_mean": sum(totals) / max(1, len(totals)),
        "num_mixed_groups": _num_mixed_groups(rewards),
    }
    made: list[ArtifactRef] = []
    for kind, table in (
        ("rewards", rewards),
        ("verdicts", verdicts),
        ("sft_examples", examples_of(file, kept)),
    ):
        # Each is made from those before it, too.
        ref = store.write_table(
            kind,
            table,
            stage_key=key,
            name=kind,
            parents=(*inputs.values(), *made),
            run=context.run,
            iteration=context.iteration,
            metadata={"metrics": metrics} if kind == "verdicts" else None,
        )
        made.append(ref)


def _num_mixed_groups(rewards: pa.Table) -> int:
    """Questions whose rollouts were neither all equally good nor all equally bad."""
    groups = rewards.group_by("question_id").aggregate([("total", "count_distinct")])
    return int(pc.sum(pc.greater(groups["total_count_distinct"], 1)).as_py() or 0)
