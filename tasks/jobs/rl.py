"""Child of the RL stage: trainer and engine side by side, the trainer's weights in the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from agents.progress import progress
from agents.randomness import derive_seed
from agents.runner import RolloutJob, RolloutSetting
from agents.trajectory import Trajectory
from tasks.heavy_child import Emit
from tasks.jobs.page_log import PageLog, write_rollouts
from tasks.jobs.payload import Job
from tasks.jobs.sampling import Sampler, open_sampler, sampling_metrics
from training.reports import StepReport, TrainingReport
from training.rewards import Reward, reward_of
from training.rl import RolloutRequest, train_rl

if TYPE_CHECKING:
    import torch


def run(payload: dict[str, Any], _emit: Emit) -> dict[str, Any]:
    """Trains on `options.question_ids`; writes `pages`, `trajectories` and the new `policy`."""
    job = Job(payload)
    config = job.config
    known = {q.question_id: q for q in job.store.read_questions(job.inputs["questions"])}
    questions = [known[question_id] for question_id in job.options["question_ids"]]
    model = job.store.policy_folder(job.inputs["policy"])
    recorded: list[Trajectory] = []

    def reward(trajectory: Trajectory) -> Reward:
        return reward_of(trajectory, known[trajectory.question_id], config.reward)

    def on_rollouts(
        _step: int, trajectories: Sequence[Trajectory], _rewards: Sequence[Reward]
    ) -> None:
        recorded.extend(trajectories)

    with (
        job.scratch() as folder,
        open_sampler(model, config) as sampler,
        progress("Reinforcement learning", config.rl.num_steps, "steps") as bar,
    ):

        def on_step(step: StepReport) -> None:
            reward_mean = "none" if step.reward_mean is None else f"{step.reward_mean:.2f}"
            bar.update(step.step, step.num_steps, f"reward {reward_mean}")

        setting = RolloutSetting(sampler.tokenizer, sampler.tools, config.agents)
        report = train_rl(
            model,
            questions,
            _sample_with(sampler, job),
            reward,
            lambda question: setting.prompt_ids(question.text),
            config.rl,
            config.training,
            folder / "policy",
            derive_seed(config.seed, "rl", job.context.iteration),
            on_step,
            on_rollouts,
        )
        metrics = _metrics(report) | sampling_metrics(recorded)
        pages = PageLog(job.store, job.key, sampler.recorder)
        trajectories = write_rollouts(job, recorded, pages)
        # The policy comes last: what it is made from is then in the store already.
        job.write_policy(report.policy, {"metrics": metrics}, parents=[trajectories])
        pages.clear()
    return {}


def _sample_with(
    sampler: Sampler, job: Job
) -> Callable[[Mapping[str, torch.Tensor], list[RolloutRequest]], list[Trajectory]]:
    """Rolls out with the trainer's weights, by the runner of every other rollout."""
    config = job.config

    def sample(
        weights: Mapping[str, torch.Tensor], requests: list[RolloutRequest]
    ) -> list[Trajectory]:
        sampler.engine.load_weights(weights)
        rollouts = [
            RolloutJob(
                question=request.question,
                rollout_index=request.rollout_index,
                seed=request.seed,
                temperature=config.rl.temperature,
                top_p=config.rl.top_p,
                iteration=job.context.iteration,
                # Later steps sample from weights that have no digest: they are never stored.
                policy=job.inputs["policy"].digest,
                source="rl",
            )
            for request in requests
        ]
        return sampler.run(rollouts, f"Rollouts of step {requests[0].step}")

    return sample


def _metrics(report: TrainingReport) -> dict[str, float]:
    rewards = [step.reward_mean for step in report.steps if step.reward_mean is not None]
    return {
        "num_steps": report.num_steps,
        "num_mixed_groups": sum(step.num_mixed_groups or 0 for step in report.steps),
        "grad_norm_max": max((step.grad_norm for step in report.steps), default=0.0),
        "first_reward": rewards[0] if rewards else 0.0,
        "last_reward": rewards[-1] if rewards else 0.0,
        "reward_mean": fmean(rewards) if rewards else 0.0,
        "rollout_s": sum(step.metrics.get("rollout_s", 0.0) for step in report.steps),
    }
