"""TRL's GRPOTrainer on packed rows, with what changes nothing left out of the arithmetic.

Rollouts without advantage (unmixed groups, infrastructure failures) have no gradient; they are
dropped before the forward pass. What remains is sorted so that rollouts of one question share a
forward pass and their prompt in it, and log-probabilities are computed at sampled tokens only.

The ratio's denominator is the log-probability under the engine that sampled: the trainer's
arithmetic differs from the engine's, and the clip of the ratio bounds what that can do.
"""

from __future__ import annotations

from typing import Any

import torch
from trl import GRPOTrainer

from agents.errors import DivergedError
from training.launch.idle_engine import IdleEngine
from training.launch.world import ALONE, World
from training.logprobs import add_scoring_forward
from training.packing import pack
from training.trainer_setup import StepReporter


class PackedGrpoTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPOTrainer with packed rows; built like its parent, for text models and `rollout_func`.

    Attributes:
        reporter: Receives `ratio_mean` (trainer's over engine's probability, 1 if they agree) and
            `logprob_gap` (mean absolute difference in nats) of each step.
    """

    _buffered_inputs: list[dict[str, Any]]

    def __init__(
        self, *args: Any, reporter: StepReporter, world: World = ALONE, **kwargs: Any
    ) -> None:
        """Builds the trainer; the policy's forward must already score packed rows."""
        super().__init__(*args, **kwargs)
        self.reporter = reporter
        self.world = world
        self._teaches_any = True
        self._micro_batch: dict[str, Any] | None = None
        self._num_loss_tokens = 1
        if self.ref_model is not None:
            add_scoring_forward(self.accelerator.unwrap_model(self.ref_model))

    def _send_telemetry(self) -> None:
        """Sends nothing: training never calls home."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Writes no card: checkpoints are for this project alone."""

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        prepared = super()._prepare_for_training(*args, **kwargs)
        if self.is_deepspeed_enabled:
            self.accelerator.deepspeed_engine_wrapped = IdleEngine(
                self.accelerator.deepspeed_engine_wrapped, lambda: not self._teaches_any
            )
        return prepared

    def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
        # DeepSpeed would tell that of the last step that it made.
        return super()._get_grad_norm(*args, **kwargs) if self._teaches_any else 0.0

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        fresh = self._step % (self.args.steps_per_generation * self.num_iterations) == 0
        inputs = super()._prepare_inputs(generation_batch)
        if not fresh:
            return inputs
        rows = {
            name: torch.cat([batch[name] for batch in self._buffered_inputs])
            for name, value in inputs.items()
            if torch.is_tensor(value) and value.dim() > 0
        }
        shared = {name: value for name, value in inputs.items() if name not in rows}
        mask = rows["completion_mask"] * rows["tool_mask"]
        teaches = mask.any(1) & ((rows["advantages"] != 0) | (self.beta != 0.0))
        order = sorted(
            torch.nonzero(teaches).flatten().tolist(),
            key=lambda row: (rows["prompt_ids"][row].tolist(), mask[row].sum().item()),
        )
        num_loss_tokens = self.world.sum({"tokens": float(mask[order].sum())})["tokens"]
        self._num_loss_tokens = max(1, int(num_loss_tokens))
        self._teaches_any = num_loss_tokens > 0
        if self.world.size > 1:
            # Ranks stay in step: all make every pass with as many rows, those without anything to
            # learn included. These have no loss token, and so no place in the packed row either.
            rows["tool_mask"] = rows["tool_mask"] * teaches[:, None]
            order += [row for row in range(len(teaches)) if not teaches[row]]
        size = self.args.per_device_train_batch_size
        self._buffered_inputs = [
            {name: value[order[start : start + size]] for name, value in rows.items()} | shared
            for start in range(0, size * self.args.steps_per_generation, size)
        ]
        return self._buffered_inputs[0]

    def _compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        if not self._teaches_any or not len(inputs["advantages"]):
            # Nothing to learn: a loss that no weight takes part in, so that even the optimizer's
            # momentum leaves the policy alone.
            return torch.zeros((), device=self.accelerator.device, requires_grad=True)
        self._micro_batch = {**inputs, "old_per_token_logps": inputs["sampling_per_token_logps"]}
        loss: torch.Tensor = super()._compute_loss(model, self._micro_batch)
        self._micro_batch = None
        if not torch.isfinite(loss):
            raise DivergedError(
                f"the RL loss became {loss.item()} at step {self.state.global_step + 1}: "
                "lower rl.learning_rate or use training.precision=fp32"
            )
        return loss

    def _get_per_token_logps_and_entropies(
        self,
        model: torch.nn.Module,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Scores loss tokens; log-probability and entropy are 0 everywhere else.

        A token's entropy is estimated by its -log p: nothing is learnt from it, and the true one
        would take more passes over all logits.

        Before the loss mask is known (the reference model's pass), every completion token counts.
        """
        width = input_ids.shape[1] - logits_to_keep
        mask = attention_mask.clone()
        mask[:, :width] = 0
        if self._micro_batch is not None:
            mask[:, width:] = self._micro_batch["completion_mask"] * self._micro_batch["tool_mask"]
        real = attention_mask.bool()
        # Without loss tokens a row is left out, but for one where there are no others.
        scored = torch.nonzero(mask.any(1)).flatten().tolist() or [0]
        packed = pack(
            [input_ids[row][real[row]].tolist() for row in scored],
            [mask[row][real[row]].tolist() for row in scored],
        )
        device = input_ids.device
        with self.accelerator.autocast():
            outputs = model(
                input_ids=packed.input_ids.to(device),
                position_ids=packed.position_ids.to(device),
                layout=packed.layout,
                predictors=packed.predictors.to(device),
                targets=packed.targets.to(device),
                temperature=self.temperature,
            )
        rows = torch.tensor(scored, device=device)[packed.source[:, 0].to(device)]
        # Prompts are padded on the left, so a token's column is its place plus the row's padding.
        padding = width - attention_mask[:, :width].sum(1)
        columns = packed.source[:, 1].to(device) + padding[rows] - width
        if self._micro_batch is not None:
            engine = self._micro_batch["sampling_per_token_logps"][rows, columns]
            self._report_agreement(outputs["log_probs"].detach() - engine)
        shape = (len(input_ids), logits_to_keep)
        logps = torch.zeros(shape, device=device).index_put((rows, columns), outputs["log_probs"])
        return logps, -logps.detach(), None

    def _report_agreement(self, difference: torch.Tensor) -> None:
        extras = self.reporter.extras
        for name, values in (("ratio_mean", difference.exp()), ("logprob_gap", difference.abs())):
            share = values.sum().item() / self._num_loss_tokens
            extras[name] = extras.get(name, 0.0) + share
