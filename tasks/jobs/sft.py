"""Child of the SFT stage: fine-tunes a policy on kept trajectories."""

from __future__ import annotations

from typing import Any

from agents.progress import progress
from agents.randomness import derive_seed
from tasks.heavy_child import Emit
from tasks.jobs.payload import Job
from training.reports import StepReport
from training.sft import Example, train_sft


def run(payload: dict[str, Any], _emit: Emit) -> dict[str, Any]:
    """Trains `policy` on `sft_examples` and writes the new `policy`."""
    job = Job(payload)
    config = job.config
    table = job.store.read_table(job.inputs["sft_examples"])
    examples = [Example(row["token_ids"], row["loss_mask"]) for row in table.to_pylist()]
    with job.scratch() as folder, progress("Fine-tuning", unit="steps") as bar:

        def on_step(step: StepReport) -> None:
            bar.update(step.step, step.num_steps, f"loss {step.loss:.3f}")

        report = train_sft(
            job.store.policy_folder(job.inputs["policy"]),
            examples,
            config.sft,
            config.training,
            folder / "policy",
            derive_seed(config.seed, "sft", job.context.iteration),
            on_step,
        )
        metrics = {
            "num_examples": len(examples),
            "num_steps": report.num_steps,
            "tokens": report.tokens,
            "first_loss": report.steps[0].loss,
            "last_loss": report.steps[-1].loss,
        }
        job.write_policy(report.policy, {"metrics": metrics})
    return {}
