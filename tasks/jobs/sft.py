"""Child of the SFT stage: fine-tunes a policy on kept trajectories."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from agents.progress import progress
from agents.randomness import derive_seed
from tasks.heavy.child import Emit
from tasks.jobs.memory import check_sft_memory
from tasks.jobs.payload import Job
from tasks.jobs.watching import checkpoint_log, watched_training
from tasks.shards import clear_partial
from training.checkpoints import Checkpoint, Checkpoints
from training.reports import StepReport
from training.sft import Example, train_sft


def run(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Trains `policy` on `sft_examples` and writes the new `policy`."""
    job = Job(payload)
    config = job.config
    table = job.store.read_table(job.inputs["sft_examples"])
    examples = [Example(row["token_ids"], row["loss_mask"]) for row in table.to_pylist()]
    check_sft_memory(job, examples)
    log = checkpoint_log(job)
    with (
        job.scratch() as folder,
        progress("Fine-tuning", unit="steps") as bar,
        ExitStack() as stack,
    ):
        resumed = log.latest(folder / "resumed")
        watch = stack.enter_context(watched_training(job, "sft", log, resumed, emit))

        def on_step(step: StepReport) -> None:
            bar.update(step.step, step.num_steps, f"loss {step.loss:.3f}")
            watch.note(step)

        def save(checkpoint: Checkpoint) -> None:
            log.save(checkpoint)

        report = train_sft(
            job.store.policy_folder(job.inputs["policy"]),
            examples,
            config.sft,
            config.training,
            folder / "policy",
            derive_seed(config.seed, "sft", job.context.iteration),
            on_step,
            Checkpoints(save, resumed.checkpoint if resumed else None),
        )
        watch.finish(report)
        metrics = {
            "num_examples": len(examples),
            "num_steps": report.num_steps,
            "tokens": report.tokens,
            "first_loss": report.steps[0].loss,
            "last_loss": report.steps[-1].loss,
        }
        job.write_policy(report.policy, {"metrics": metrics})
    clear_partial(job.store, job.key)
    return {}
