"""TRL's GRPOTrainer on packed rows, with what changes nothing left out of the arithmetic.

Rollouts without advantage (unmixed groups, infrastructure failures) have no gradient; they are
dropped before the forward pass. What remains is sorted so that rollouts of one question share a
forward pass and their prompt in it, and log-probabilities are computed at sampled tokens only.

The loss is `objective.py`'s, not TRL's: TRL 1.16 ignores the log-probabilities of a rollout
function (its correction for the engine's arithmetic, a mask of whole sequences, asks for its own
vLLM client), and its sequence mean counts the rows of a micro-batch, from which some are dropped
here. Advantages, the reference model and the pace of steps are TRL's.
"""

from __future__ import annotations

from typing import Any

import torch
from trl import GRPOTrainer

from agents.errors import DivergedError
from training.config import RlConfig
from training.launch.idle_engine import IdleEngine
from training.launch.world import ALONE, World
from training.logprobs import add_scoring_forward
from training.objective import (
    BatchSize,
    EngineAgreement,
    agreement_figures,
    batch_share,
    token_losses,
)
from training.packing import pack
from training.trainer_setup import StepReporter


class PackedGrpoTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPOTrainer with packed rows; built like its parent, for text models and `rollout_func`.

    Attributes:
        reporter: Receives the figures of each step that only the trainer knows; docs/training.md
            lists them.
    """

    _buffered_inputs: list[dict[str, Any]]

    def __init__(
        self,
        *args: Any,
        objective: RlConfig,
        reporter: StepReporter,
        world: World = ALONE,
        **kwargs: Any,
    ) -> None:
        """Builds the trainer; the policy's forward must already score packed rows."""
        super().__init__(*args, **kwargs)
        self.reporter = reporter
        self._world = world
        self._teaches_any = True
        self._objective = objective
        self._batch = BatchSize(1.0, 1.0)
        self._num_loss_tokens = 1
        self._agreement = EngineAgreement()
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

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Reports a step, with what all ranks together say of the engine's arithmetic."""
        figures = agreement_figures(self._world.sum(self._agreement.sums))
        if self._world.is_main:  # what is reported is added up over the ranks
            self.reporter.extras |= figures
        super().log(logs, start_time)

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
        self._batch = self._size_of(mask)
        self._agreement = EngineAgreement()
        teaches = mask.any(1) & ((rows["advantages"] != 0) | (self.beta != 0.0))
        order = sorted(
            torch.nonzero(teaches).flatten().tolist(),
            key=lambda row: (rows["prompt_ids"][row].tolist(), mask[row].sum().item()),
        )
        num_loss_tokens = self._world.sum({"tokens": float(mask[order].sum())})["tokens"]
        self._num_loss_tokens = max(1, int(num_loss_tokens))
        self._teaches_any = num_loss_tokens > 0
        if self._world.size > 1:
            # Ranks stay in step: all make every pass, those without anything to learn included.
            # What teaches nothing has no loss token, and so no place in the packed row either.
            rows["tool_mask"] = rows["tool_mask"] * teaches[:, None]
            order += [row for row in range(len(teaches)) if not teaches[row]]
        size = self.args.per_device_train_batch_size
        self._buffered_inputs = [
            {name: value[order[start : start + size]] for name, value in rows.items()} | shared
            for start in range(0, size * self.args.steps_per_generation, size)
        ]
        return self._buffered_inputs[0]

    def _size_of(self, mask: torch.Tensor) -> BatchSize:
        """Size of the batch over all processes; over their number, as gradients are averaged."""
        local = torch.stack([mask.sum(), mask.any(1).sum()]).to(self.accelerator.device)
        tokens, rollouts = self.accelerator.gather(local[None]).sum(0).tolist()
        processes = self.accelerator.num_processes
        return BatchSize(tokens / processes, rollouts / processes)

    def _compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        if not self._teaches_any or not len(inputs["advantages"]):
            # Nothing to learn: a loss that no weight takes part in, so that even the optimizer's
            # momentum leaves the policy alone.
            return torch.zeros((), device=self.accelerator.device, requires_grad=True)
        config = self._objective
        log_probs, rows, columns = self._score(
            model,
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
            torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
            inputs["completion_mask"] * inputs["tool_mask"],
        )
        engine = inputs["sampling_per_token_logps"][rows, columns]
        reference = inputs["ref_per_token_logps"][rows, columns] if self.beta != 0.0 else None
        losses = token_losses(log_probs, engine, inputs["advantages"][rows], reference, config)
        loss = batch_share(losses.values, rows, config, self._batch)
        if not torch.isfinite(loss):
            raise DivergedError(
                f"the RL loss became {loss.item()} at step {self.state.global_step + 1}: "
                "lower rl.learning_rate or use training.precision=fp32"
            )
        extras = self.reporter.extras
        learnt = sorted(set(rows.tolist()))  # not the fillers, which keep ranks in step
        num_tokens = int(
            inputs["prompt_mask"][learnt].sum() + inputs["completion_mask"][learnt].sum()
        )
        extras["trained_tokens"] = extras.get("trained_tokens", 0) + num_tokens
        extras["loss_tokens"] = extras.get("loss_tokens", 0) + len(log_probs)
        self._agreement.add(log_probs, engine)
        self._report_share("clip_ratio", losses.clipped)
        if config.importance_sampling == "truncated":
            self._report_share("importance_capped", losses.capped)
        if reference is not None:
            self._report_share("reference_kl", losses.reference_kl)
        return loss

    def _report_share(self, name: str, values: torch.Tensor) -> None:
        """Adds a micro-batch to the mean over the step's computed tokens."""
        extras = self.reporter.extras
        extras[name] = extras.get(name, 0.0) + values.sum().item() / self._num_loss_tokens

    def _get_per_token_logps_and_entropies(
        self,
        model: torch.nn.Module,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **_: Any,
    ) -> tuple[torch.Tensor, None, None]:
        """Scores every completion token: the reference model's pass."""
        parts = []
        size = batch_size or len(input_ids)
        for start in range(0, len(input_ids), size):
            ids, attention = input_ids[start : start + size], attention_mask[start : start + size]
            mask = attention[:, -logits_to_keep:]
            log_probs, rows, columns = self._score(model, ids, attention, mask)
            empty = torch.zeros(mask.shape, device=log_probs.device)
            parts.append(empty.index_put((rows, columns), log_probs))
        return torch.cat(parts), None, None

    def _score(
        self,
        model: torch.nn.Module,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        mask: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log-probabilities of the tokens in a mask of the completions.

        Args:
            model: Whose.
            input_ids: (B, P + C) prompts, padded on the left, and completions, on the right.
            attention_mask: (B, P + C) 1 at tokens, 0 at padding.
            mask: (B, C) 1 at tokens to score.

        Returns:
            (M,) log-probabilities, and the row and column of each in `mask`.
        """
        width = input_ids.shape[1] - mask.shape[1]
        whole = torch.cat([torch.zeros_like(input_ids[:, :width]), mask], dim=1)
        real = attention_mask.bool()
        # Without a token to score a row is left out, but for one where there are no others.
        scored = torch.nonzero(mask.any(1)).flatten().tolist() or [0]
        packed = pack(
            [input_ids[row][real[row]].tolist() for row in scored],
            [whole[row][real[row]].tolist() for row in scored],
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
        return outputs["log_probs"], rows, columns
