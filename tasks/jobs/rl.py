"""Child of the RL stage: trainer and engine side by side, the trainer's weights in the engine.

Rollouts are logged as they end, each step's in a folder named after the step and the weights that
sampled it: those of a checkpoint, or, between two checkpoints, of this process alone. A stage that
was killed goes on from its newest checkpoint; the rollouts up to there are read back, and those of
the very next step that had ended are not sampled again.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import fmean
from typing import TYPE_CHECKING, Any

from agents.engines.weights import read_tensors
from agents.progress import progress
from agents.randomness import derive_seed
from agents.runner import RolloutJob, RolloutSetting
from agents.trajectory import Trajectory
from tasks.checkpoints import CheckpointLog, StoredCheckpoint
from tasks.heavy.child import Emit
from tasks.jobs.cache_log import CacheLog
from tasks.jobs.held_out import HeldOut
from tasks.jobs.memory import check_rl_memory
from tasks.jobs.page_log import PageLog, write_rollouts
from tasks.jobs.payload import Job
from tasks.jobs.sampling import Sampler, open_sampler, open_tools, sampling_metrics
from tasks.jobs.watching import checkpoint_log, rl_line, watched_training
from tasks.judge_cache import reward_judge
from tasks.shards import ShardLog, clear_partial
from training.checkpoints import Checkpoint, Checkpoints
from training.overlong import shape_overlong
from training.reports import StepReport, TrainingReport
from training.rewards import Reward, reward_of, show_answers
from training.rl import RolloutRequest, train_rl

if TYPE_CHECKING:
    import torch


def run(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Trains on `options.question_ids`; writes `pages`, `trajectories` and the new `policy`."""
    job = Job(payload)
    config = job.config
    known = {q.question_id: q for q in job.store.read_questions(job.inputs["questions"])}
    questions = [known[question_id] for question_id in job.options["question_ids"]]
    model = job.store.policy_folder(job.inputs["policy"])
    check_rl_memory(job)
    web = CacheLog(job)

    with (
        job.scratch() as folder,
        open_sampler(model, config, web.cache) as sampler,
        progress("Reinforcement learning", config.rl.num_steps, "steps") as bar,
        ExitStack() as stack,
    ):
        judged = stack.enter_context(reward_judge(job.store, config))
        log = checkpoint_log(job)
        resumed = log.latest(folder / "resumed")
        tools = stack.enter_context(open_tools(config, cache=web.cache))
        held_out = HeldOut(job, sampler, tools, list(known.values()))
        rollouts = _Rollouts(job, sampler, log, resumed, web, held_out)
        watch = stack.enter_context(watched_training(job, "rl", log, resumed, emit))

        def on_step(step: StepReport) -> None:
            bar.update(step.step, step.num_steps, rl_line(step))
            watch.note(step)

        setting = RolloutSetting(sampler.tokenizer, sampler.tools, config.agents)
        limit = min(config.agents.max_context_tokens, sampler.engine.max_context_tokens)

        def sample(
            weights: Mapping[str, torch.Tensor], requests: list[RolloutRequest]
        ) -> list[Trajectory]:
            made = rollouts.sample(weights, requests)
            if judged is not None:
                show_answers(made, known, config.reward, judged)
            return made

        def reward(trajectory: Trajectory) -> Reward:
            question = known[trajectory.question_id]
            earned = reward_of(trajectory, question, config.reward, judged)
            return shape_overlong(earned, len(trajectory.token_ids), limit, config.rl)

        report = train_rl(
            model,
            questions,
            sample,
            reward,
            lambda question: setting.prompt_ids(question.text),
            config.rl,
            config.training,
            folder / "policy",
            derive_seed(config.seed, "rl", job.context.iteration),
            on_step,
            rollouts.record,
            Checkpoints(rollouts.save, resumed.checkpoint if resumed else None),
        )
        watch.finish(report)
        metrics = _metrics(report) | sampling_metrics(rollouts.recorded)
        if config.rl.eval_steps is not None:
            sampler.engine.load_weights(read_tensors(report.policy))
            metrics |= held_out.measure("Held-out questions after the last step")
        trajectories = write_rollouts(job, rollouts.recorded, rollouts.pages)
        # The policy comes last: what it is made from is then in the store already.
        job.write_policy(report.policy, {"metrics": metrics}, parents=[trajectories])
    clear_partial(job.store, job.key)
    return {}


class _Rollouts:
    """Samples with the trainer's weights, and keeps what was sampled.

    Attributes:
        recorded: All trajectories of the steps so far.
        pages: The pages that they saw.
    """

    def __init__(
        self,
        job: Job,
        sampler: Sampler,
        checkpoints: CheckpointLog,
        resumed: StoredCheckpoint | None,
        web: CacheLog,
        held_out: HeldOut,
    ) -> None:
        self.recorded: list[Trajectory] = []
        self.pages = PageLog(job.store, job.key, sampler.recorder, web)
        self._job = job
        self._sampler = sampler
        self._checkpoints = checkpoints
        self._held_out = held_out
        self._own = uuid.uuid4().hex[:8]
        self._step, self._weights = 0, "start"
        self._folders: list[str] = []
        if resumed is not None:
            self._step, self._weights = resumed.checkpoint.step, resumed.name
            self._folders = list(resumed.checkpoint.progress["folders"])
            for folder in self._folders:
                self.recorded += self._log(folder).trajectories()

    def sample(
        self, weights: Mapping[str, torch.Tensor], requests: list[RolloutRequest]
    ) -> list[Trajectory]:
        """Rolls out with the trainer's weights, by the runner of every other rollout."""
        config, job = self._job.config, self._job
        self._sampler.engine.load_weights(weights)
        jobs = [
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
        step = requests[0].step
        self._held_out.look(step)
        named = self._weights if step == self._step + 1 else self._own
        folder = f"rollouts/{step:06d}-{named}"
        if folder not in self._folders:
            self._folders.append(folder)
        made = self._sampler.run_logged(
            jobs, f"Rollouts of step {step}", self._log(folder), self.pages
        )
        self._sampler.engine.rest()
        return made

    def record(
        self, step: int, trajectories: Sequence[Trajectory], _rewards: Sequence[Reward]
    ) -> Mapping[str, float]:
        """Takes the trajectories of a step; returns what else was measured before it."""
        self.recorded.extend(trajectories)
        return self._held_out.of_step(step)

    def save(self, checkpoint: Checkpoint) -> None:
        """Stores a checkpoint with the names of the logs that belong to it."""
        progress = {**checkpoint.progress, "folders": self._folders}
        self._weights = self._checkpoints.save(
            Checkpoint(checkpoint.step, checkpoint.folder, progress)
        )
        self._step = checkpoint.step

    def _log(self, folder: str) -> ShardLog:
        return ShardLog(self._job.store, self._job.key, folder=folder)


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
