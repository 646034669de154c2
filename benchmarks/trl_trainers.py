"""TRL's own trainers, timed step by step: what ours are measured against.

SFT is `SFTTrainer` as TRL ships it, on padded batches. RL is `GRPOTrainer` with TRL's own tool loop
and Transformers' `generate`; only what is generated is put in by hand, so that both systems do the
same work: each row ends after as many tokens as its written turn has, and the written turn takes
their place.
"""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PrinterCallback,
    StoppingCriteria,
    StoppingCriteriaList,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer
from trl.chat_template_utils import qwen2_5_chat_template, qwen3_template

from agents.rollout import RolloutSetting
from benchmarks.scripted_load import Load
from training.config import RlConfig, TrainingConfig
from training.config import SftConfig as OurSftConfig
from training.sft import Example
from training.trainer_setup import micro_batch, shared_arguments

_QUERY = re.compile(r'"query": "(\d+) (\d+) (\d+) ')


class Clock(TrainerCallback):
    """Seconds and loss of every step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self._since = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._since = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self._since)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))


def train_trl_sft(
    folder: Path,
    examples: Sequence[Example],
    config: OurSftConfig,
    training: TrainingConfig,
    output: Path,
    seed: int,
) -> Clock:
    """SFT with TRL's trainer on the same examples, in the same order."""
    clock = Clock()
    labels = [
        [token if learnt else -100 for token, learnt in zip(e.token_ids, e.loss_mask, strict=True)]
        for e in examples
    ]
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        args=SFTConfig(
            **shared_arguments(training, str(output), seed),
            learning_rate=config.learning_rate,
            num_train_epochs=config.num_epochs,
            per_device_train_batch_size=config.batch_size,
            lr_scheduler_type="constant",
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=Dataset.from_dict(
            {"input_ids": [list(e.token_ids) for e in examples], "labels": labels}
        ),
        processing_class=AutoTokenizer.from_pretrained(folder),
        callbacks=[clock],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return clock


class _EndsOfTurns(StoppingCriteria):
    """Ends each row after its own number of tokens."""

    eos_token_id = None  # generation pads rows that have ended only where a criterion has this

    def __init__(self, width: int, lengths: list[int]) -> None:
        self._ends = torch.tensor([width + length for length in lengths])

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        return input_ids.shape[1] >= self._ends


class ScriptedGrpo(GRPOTrainer):
    """TRL's GRPO with its own loop over a load.

    Attributes:
        rollout_s: Seconds of each step's rollouts.
        tokens: Tokens of each step's rollouts, prompts included.
    """

    def __init__(self, *args: Any, load: Load, setting: RolloutSetting, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rollout_s: list[float] = []
        self.tokens: list[int] = []
        self._setting = setting
        self._texts = {s.job.question.text: s.job.question for s in load.scripts}
        self._turns = {
            (s.job.question.question_id[1:], str(s.job.rollout_index)): [
                [*setting.chat.encode(turn), setting.chat.end_of_turn] for turn in s.turns
            ]
            for s in load.scripts
        }

    def _send_telemetry(self) -> None:
        """Sends nothing."""

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        return [self._setting.prompt_ids(prompt[-1]["content"]) for prompt in prompts], None, {}

    def _generate(self, prompts: list[Any]) -> Any:
        self._questions = [self._texts[p[-1]["content"]].question_id[1:] for p in prompts]
        started = time.perf_counter()
        made = super()._generate(prompts)
        self.rollout_s.append(time.perf_counter() - started)
        self.tokens.append(sum(map(len, made[0])) + sum(map(len, made[1])))
        return made

    def _generate_single_turn(
        self,
        prompt_ids: list[list[int]],
        images: Any,
        multimodal_fields: Any,
        num_generations: int,
        has_tool_images: bool = False,
    ) -> Any:
        turns = []
        for row, ids in enumerate(prompt_ids):
            asked = _QUERY.findall(self._tokenizer.decode(ids))
            # Rows of a first turn stand in the dataset's order, a group's one after the other.
            question, rollout = (
                asked[-1][:2]
                if asked
                else (
                    self._questions[row],
                    str(row % self.num_generations),
                )
            )
            turns.append(self._turns[question, rollout][int(asked[-1][2]) + 1 if asked else 0])
        lengths = [len(turn) for turn in turns]
        model = self.accelerator.unwrap_model(self.model)
        ends = _EndsOfTurns(max(map(len, prompt_ids)), lengths)
        generate = model.generate
        self.generation_config.max_new_tokens = max(lengths)
        model.generate = lambda **kwargs: generate(
            **kwargs, stopping_criteria=StoppingCriteriaList([ends])
        )
        try:
            super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, has_tool_images
            )
        finally:
            del model.generate
        return turns, None


def train_trl_grpo(
    folder: Path,
    load: Load,
    setting: RolloutSetting,
    config: RlConfig,
    training: TrainingConfig,
    output: Path,
) -> tuple[Clock, ScriptedGrpo]:
    """RL with TRL's trainer, tool loop and generation over the same load."""
    tokenizer = copy.deepcopy(AutoTokenizer.from_pretrained(folder))
    tokenizer.chat_template = qwen2_5_chat_template
    tokenizer.response_template = qwen3_template
    clock = Clock()
    total = config.prompts_per_step * config.num_generations
    micro = micro_batch(total, training)

    def search(query: str) -> str:
        """Searches the web.

        Args:
            query: What to search for.
        """
        return load.observations[query]

    def parity(completions: list[Any], **_: Any) -> list[float]:
        return [float(index % 2) for index in range(len(completions))]

    questions = list({s.job.question.question_id: s.job.question for s in load.scripts}.values())
    trainer = ScriptedGrpo(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        reward_funcs=parity,
        args=GRPOConfig(
            **shared_arguments(training, str(output), 1),
            max_steps=config.num_steps,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=total // micro,
            steps_per_generation=total // micro,
            num_generations=config.num_generations,
            learning_rate=config.learning_rate,
            lr_scheduler_type="constant",
            temperature=config.temperature,
            max_completion_length=setting.config.max_context_tokens,
            loss_type="dapo",
            epsilon_high=config.epsilon_high,
            beta=0.0,
            scale_rewards="none",
            shuffle_dataset=False,
            disable_dropout=True,
            generation_kwargs={"suppress_tokens": [tokenizer.eos_token_id]},
        ),
        train_dataset=Dataset.from_dict(
            {"prompt": [[{"role": "user", "content": q.text}] for q in questions]}
        ),
        processing_class=tokenizer,
        tools=[search],
        callbacks=[clock],
        load=load,
        setting=setting,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return clock, trainer
