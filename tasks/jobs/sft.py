"""Child of the SFT stage: fine-tunes a policy on kept trajectories."""

from __future__ import annotations

from typing import Any

from agents.progress import progress
from agents.randomness import derive_seed
from tasks.checkpoints import CheckpointLog
from tasks.heavy.child import Emit
from tasks.jobs.payload import Job
from tasks.shards import clear_partial
from training.checkpoints import Checkpoint, Checkpoints
from training.reports import StepReport
from training.sft import Example, train_sft


def run(payload: dict[str, Any], _emit: Emit) -> dict[str, Any]:
    """Trains `policy` on `sft_examples` and writes the new `policy`."""
    job = Job(payload)
    config = job.config
    table = job.store.read_table(job.inputs["sft_examples"])
    examples = [Example(row["token_ids"], row["loss_mask"]) for row in table.to_pylist()]
    log = CheckpointLog(job.store.objects, job.key, config.training.checkpoints_keep)
    with job.scratch() as folder, progress("Fine-tuning", unit="steps") as bar:
        resumed = log.latest(folder / "resumed")

        def on_step(step: StepReport) -> None:
            bar.update(step.step, step.num_steps, f"loss {step.loss:.3f}")

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
