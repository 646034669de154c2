"""TRL's own tool loop, over the engine and the tools of the load.

`GRPOTrainer._tool_call_loop` runs as TRL ships it, tools sample by sample and generation batch by
batch. Two things of the trainer are put in by hand, since TRL's vLLM client needs CUDA and its
`tools=` a template that it knows: `_generate_single_turn` asks our engine for the whole batch, and
the tokenizer gets TRL's response template for Qwen3, whose calls look like ours.
"""

from __future__ import annotations

import asyncio
import copy
import time
from types import SimpleNamespace
from typing import Any

from trl import GRPOTrainer
from trl.chat_template_utils import parse_response, qwen2_5_chat_template, qwen3_template

from agents.rollout import RolloutSetting
from benchmarks.scripted_load import Load, Script, ScriptedTokens


class TrlLoop(GRPOTrainer):
    """Just what the tool loop needs of a trainer; nothing is trained.

    Args:
        tokenizer: The policy's tokenizer; a copy of it is used.
        engine: Generates.
        load: The load.
        setting: Makes the first prompts, which are the same as ours.
    """

    def __init__(
        self, tokenizer: Any, engine: ScriptedTokens, load: Load, setting: RolloutSetting
    ) -> None:
        self.processing_class = self._tokenizer = copy.deepcopy(tokenizer)
        self._tokenizer.response_template = qwen3_template
        self.chat_template = qwen2_5_chat_template
        self.chat_template_kwargs: dict[str, Any] = {}
        self._is_vlm = False
        self.use_vllm = False
        self.environment_factories = None
        self.max_tool_calling_iterations = 100
        self.max_completion_length = engine.max_context_tokens
        self.model = SimpleNamespace(
            config=SimpleNamespace(max_position_embeddings=engine.max_context_tokens)
        )
        self._engine, self._load, self._setting = engine, load, setting
        self._batch: list[str] = []
        self._loop = asyncio.new_event_loop()

        def search(query: str) -> str:
            """Searches the web.

            Args:
                query: What to search for.
            """
            time.sleep(load.latencies[query])
            return load.observations[query]

        self.tools = [search]

    def run(self, scripts: list[Script]) -> int:
        """Rolls out one batch; returns how many trajectories made all their calls and answered."""
        self._batch = [script.job.trajectory_id for script in scripts]
        prompts = [[{"role": "user", "content": s.job.question.text}] for s in scripts]
        prompt_ids = [self._setting.prompt_ids(s.job.question.text) for s in scripts]
        names = {tool.__name__: tool for tool in self.tools}
        self._sync_tool_dicts = [names] * len(scripts)
        self._async_tool_dicts: list[dict[str, Any]] = [{}] * len(scripts)
        completion_ids, logprobs = self._generate_single_turn(prompt_ids, None, {}, 1)
        completions = [
            [parse_response(self._tokenizer, ids, prefix=prompt, tools=self.tools)]
            for ids, prompt in zip(completion_ids, prompt_ids, strict=True)
        ]
        _, completions, *_, num_calls, num_failures, _ = self._tool_call_loop(
            prompts, prompt_ids, completion_ids, completions, logprobs, None, {}
        )
        assert num_failures == 0, f"{num_failures} calls of TRL's loop failed"
        assert num_calls == sum(len(script.queries) for script in scripts), f"{num_calls} calls"
        for name in self._batch:
            self._engine.release(name)
        return sum("<answer>" in turns[-1]["content"] for turns in completions)

    def close(self) -> None:
        self._loop.close()

    def _generate_single_turn(
        self,
        prompt_ids: list[list[int]],
        images: Any,
        multimodal_fields: Any,
        num_generations: int,
        has_tool_images: bool = False,
    ) -> tuple[list[list[int]], list[list[float]]]:
        # Every trajectory makes equally many calls, so that the loop never drops one.
        assert len(prompt_ids) == len(self._batch), "a trajectory left the loop early"

        async def all_of_them() -> Any:
            pairs = zip(self._batch, prompt_ids, strict=True)
            return await asyncio.gather(*(self._engine.generate(*pair) for pair in pairs))

        generations = self._loop.run_until_complete(all_of_them())
        return (
            [list(generation.token_ids) for generation in generations],
            [list(generation.logprobs) for generation in generations],
        )
