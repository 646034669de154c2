"""TRL's SFTTrainer on packed rows, with the loss at loss tokens only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from trl import SFTTrainer

from agents.errors import DivergedError
from training.launch.world import World
from training.order import EvenOrder
from training.packing import Layout, pack
from training.trainer_setup import StepReporter


def collate(features: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Packs examples into one row; `labels` are its loss tokens, as the trainer counts them.

    Where there are fillers only, the row is one without any loss token: the pass is made as on
    the other ranks, and adds nothing.
    """
    features = [feature for feature in features if feature["input_ids"]] or [_NOTHING]
    packed = pack(
        [feature["input_ids"] for feature in features],
        [feature["loss_mask"] for feature in features],
    )
    return {
        "input_ids": packed.input_ids,
        "position_ids": packed.position_ids,
        "predictors": packed.predictors,
        "shift_labels": packed.targets,
        "labels": packed.targets,
        "prefix_tokens": packed.layout.prefix_tokens,
        "suffix_tokens": torch.tensor(packed.layout.suffix_tokens),
        "num_tokens": sum(len(feature["input_ids"]) for feature in features),
    }


_NOTHING = {"input_ids": [0, 0], "loss_mask": [0, 0]}


class PackedSftTrainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer whose loss is computed on packed rows, at loss tokens only.

    Attributes:
        reporter: Receives the figures of each step.
        world: The ranks.
        num_real_examples: Examples without the filler.
    """

    reporter: StepReporter
    world: World
    num_real_examples: int

    def _send_telemetry(self) -> None:
        """Sends nothing: training never calls home."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Writes no card: checkpoints are for this project alone."""

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Any:
        if self.world.size == 1:
            return super()._get_train_sampler(train_dataset)
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return EvenOrder(
            self.num_real_examples,
            batch * self.world.size,
            self.args.seed,
            lambda: self.state.global_step,
        )

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Returns the negative log-likelihood, averaged over the tokens of the whole batch."""
        outputs = model(
            input_ids=inputs["input_ids"],
            position_ids=inputs["position_ids"],
            layout=Layout(inputs["prefix_tokens"], tuple(inputs["suffix_tokens"].tolist())),
            predictors=inputs["predictors"],
            targets=inputs["labels"],
        )
        num_targets = len(inputs["labels"])
        total = num_targets if num_items_in_batch is None else num_items_in_batch
        loss: torch.Tensor = -outputs["log_probs"].sum() / total
        if not torch.isfinite(loss):
            raise DivergedError(
                f"the SFT loss became {loss.item()} at step {self.state.global_step + 1}: "
                "lower sft.learning_rate or use training.precision=fp32"
            )
        extras, share = self.reporter.extras, num_targets / float(total)
        if num_targets:
            extras["tokens"] = extras.get("tokens", 0) + inputs["num_tokens"]
        extras["loss_tokens"] = extras.get("loss_tokens", 0) + num_targets
        accuracy = outputs["is_top1"].mean().item() if num_targets else 0.0
        extras["token_accuracy"] = extras.get("token_accuracy", 0.0) + accuracy * share
        # The total counts the tokens of all ranks, whose gradients are averaged.
        return loss * self.world.size
