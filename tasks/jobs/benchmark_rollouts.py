"""The rollouts of a benchmark: made by the one runner, or taken over from those made before."""

from __future__ import annotations

from collections.abc import Sequence

from agents.randomness import derive_seed
from agents.runner import RolloutJob
from agents.trajectory import Question, Trajectory
from tasks.benchmark_rows import SAMPLED_AS
from tasks.jobs.page_log import write_rollouts
from tasks.jobs.payload import Job
from tasks.jobs.sampling import sample, sampling_metrics
from tasks.manifest import ArtifactRef
from tasks.web_caches import SPEND


def make_rollouts(job: Job, questions: Sequence[Question]) -> tuple[list[Trajectory], ArtifactRef]:
    """Asks each question as often as is configured, and writes what came of it.

    Args:
        job: The stage; its option `sampled_as` goes into the metadata.
        questions: What is asked.

    Returns:
        The trajectories, question by question, and their artifact.
    """
    source = str(job.options["source"])
    rollouts = [
        rollout for question in questions for rollout in _rollouts_of(job, question, source)
    ]
    description = "Gate questions" if source == "gate" else "Benchmark questions"
    trajectories, pages = sample(job, rollouts, description)
    metadata = {
        "metrics": sampling_metrics(trajectories),
        SAMPLED_AS: job.options[SAMPLED_AS],
    }
    return trajectories, write_rollouts(job, trajectories, pages, metadata)


def adopt_rollouts(job: Job, made: ArtifactRef) -> tuple[list[Trajectory], ArtifactRef]:
    """Takes over the rollouts of an earlier benchmark that differs in its scoring alone.

    Args:
        job: The stage.
        made: The earlier one's trajectories.

    Returns:
        The trajectories, and their artifact under this stage's key.
    """
    adopted = {}
    for name in ("pages", "web_cache", "trajectories"):
        manifest = job.store.find(made.key, name)
        if manifest is None:
            continue
        # What was paid was paid once, by the stage that asked.
        metrics = {**manifest.metadata.get("metrics", {}), SPEND: 0.0}
        adopted[name] = job.store.adopt(
            manifest.ref,
            stage_key=job.key,
            run=job.context.run,
            iteration=job.context.iteration,
            metadata={**manifest.metadata, "metrics": metrics} if name == made.name else None,
        )
    return job.store.read_trajectories(made), adopted["trajectories"]


def _rollouts_of(job: Job, question: Question, source: str) -> list[RolloutJob]:
    benchmark = job.config.benchmark
    # The gate decides between two policies, not about how they are best sampled: greedily, once.
    gate = source == "gate"
    return [
        RolloutJob(
            question=question,
            rollout_index=attempt,
            seed=derive_seed(job.config.seed, source, question.question_id, attempt),
            temperature=0.0 if gate else benchmark.temperature,
            top_p=1.0 if gate else benchmark.top_p,
            iteration=job.context.iteration,
            policy=job.inputs["policy"].digest,
            source=source,
        )
        for attempt in range(1 if gate else benchmark.num_attempts)
    ]
