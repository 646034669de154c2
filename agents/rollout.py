"""One trajectory: prompt, turns, tool calls, limits and its ending."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from agents.chat_format import ChatFormat, Tokenizer
from agents.config import AgentConfig
from agents.engines.base import Engine, SamplingParams
from agents.errors import EngineError
from agents.prompt import QUESTION_MARK, load_prompt
from agents.protocol import (
    ANSWER_PREFIX,
    EMPTY_OBSERVATION,
    RESPONSE_CLOSE,
    RESPONSE_OPEN,
    ParsedTurn,
    canonical_arguments,
    is_well_formed,
    neutralise,
    parse_forced_answer,
    parse_turn,
)
from agents.randomness import derive_seed
from agents.tools.base import Observation, Tool, ToolFailure
from agents.tools.calling import CALLER, Caller, UntimedEngine
from agents.trajectory import (
    PageReading,
    PageView,
    Question,
    StopReason,
    Trajectory,
    Turn,
    trajectory_id_of,
)
from agents.transcript import Transcript

TurnCallback = Callable[[str, Turn], None]
"""Called with the trajectory's id and each turn as it ends, its observation included."""


@dataclass(frozen=True, slots=True)
class RolloutJob:
    """One rollout to be made.

    Attributes:
        question: What is asked.
        rollout_index: Which of the question's rollouts it is, from 0.
        seed: Seed of all its sampling; each turn's is derived from it.
        temperature: Sampling temperature, 0 for greedy.
        top_p: Nucleus mass, 1.0 for all.
        iteration: Iteration it belongs to.
        policy: Digest of the policy that the engine runs.
        source: `rollout`, `rl`, `construction`, `benchmark`, `gate` or `ask`.
    """

    question: Question
    rollout_index: int
    seed: int
    temperature: float
    top_p: float
    iteration: int
    policy: str
    source: str

    @property
    def trajectory_id(self) -> str:
        """Id of the trajectory that this job makes; also its session in the engine."""
        return trajectory_id_of(
            self.policy, self.source, self.iteration, self.question.question_id, self.rollout_index
        )


class RolloutSetting:
    """What all rollouts of a run share: prompt, chat format, tools and limits."""

    def __init__(
        self, tokenizer: Tokenizer, tools: Mapping[str, Tool], config: AgentConfig
    ) -> None:
        self.chat = ChatFormat(tokenizer)
        self.tools = dict(tools)
        self.config = config
        self.prompt = load_prompt(config.prompt, tools, config.today)
        self.answer_prefix = self.chat.encode(ANSWER_PREFIX)
        no_response = self.chat.next_prompt(False, self.response_pieces("", force=True))
        self.reserve_tokens = (
            len(no_response)
            + config.observation_tokens
            + len(self.answer_prefix)
            + config.answer_tokens
        )

    def prompt_ids(self, question: str) -> list[int]:
        """Ids of the first prompt of a question."""
        before, *after = self.prompt.user.split(QUESTION_MARK)
        pieces = [(before, True)]
        for text in after:
            pieces += [(question, False), (text, True)]
        return self.chat.first_prompt(self.prompt.system, pieces)

    def response_pieces(self, observation: str, *, force: bool) -> list[tuple[str, bool]]:
        """The user turn that carries a tool response, each piece with whether it is ours."""
        pieces = [(RESPONSE_OPEN, True), (observation, False), (RESPONSE_CLOSE, True)]
        return [*pieces, (f"\n{self.prompt.force}", True)] if force else pieces


class Rollout:
    """Makes one trajectory; `run` it once."""

    def __init__(
        self,
        job: RolloutJob,
        setting: RolloutSetting,
        engine: Engine,
        on_turn: TurnCallback | None = None,
    ) -> None:
        self._job = job
        self._setting = setting
        self._engine = engine
        self._on_turn = on_turn
        self._transcript = Transcript()
        self._turns: list[Turn] = []
        self._page_views: list[PageView] = []
        self._readings: list[PageReading] = []
        self._num_tool_calls = 0
        self._cost = 0.0
        self._limit = min(setting.config.max_context_tokens, engine.max_context_tokens)

    async def run(self) -> Trajectory:
        """Makes the trajectory; infrastructure failures are typed endings, not exceptions."""
        started = time.perf_counter()
        answer: str | None = None
        error = ""
        try:
            async with asyncio.timeout(self._setting.config.deadline_s) as deadline:
                stop_reason, answer = await self._converse()
        except TimeoutError:
            if not deadline.expired():
                raise
            stop_reason = StopReason.DEADLINE
            error = f"not finished after {self._setting.config.deadline_s:g} s"
        except EngineError as failure:
            stop_reason, error = StopReason.ENGINE_ERROR, str(failure)
        except ToolFailure as failure:
            stop_reason, error = StopReason.TOOL_ERROR, str(failure)
        finally:
            self._engine.release(self._job.trajectory_id)
        if not self._transcript.token_ids:
            self._transcript.prompt_only(self._setting.prompt_ids(self._job.question.text))
        turns = tuple(self._turns)
        return Trajectory(
            trajectory_id=self._job.trajectory_id,
            question_id=self._job.question.question_id,
            rollout_index=self._job.rollout_index,
            policy=self._job.policy,
            iteration=self._job.iteration,
            source=self._job.source,
            temperature=self._job.temperature,
            token_ids=tuple(self._transcript.token_ids),
            loss_mask=tuple(self._transcript.loss_mask),
            logprobs=tuple(self._transcript.logprobs),
            num_prompt_tokens=self._transcript.num_prompt_tokens,
            turns=turns,
            answer=answer,
            stop_reason=stop_reason,
            format_ok=is_well_formed(turns, stop_reason),
            num_tool_calls=self._num_tool_calls,
            error=error,
            wall_s=time.perf_counter() - started,
            page_views=tuple(self._page_views),
            readings=tuple(self._readings),
            cost=self._cost,
        )

    async def _converse(self) -> tuple[StopReason, str | None]:
        config = self._setting.config
        prompt = forcing = self._setting.prompt_ids(self._job.question.text)
        for index in range(config.max_turns):
            room = self._limit - len(self._transcript) - len(prompt)
            force = (
                index == config.max_turns - 1
                or self._num_tool_calls >= config.max_tool_calls
                or room < config.max_turn_tokens + self._setting.reserve_tokens
            )
            if force:
                prompt = [*forcing, *self._setting.answer_prefix]
                if len(self._transcript) + len(prompt) + config.answer_tokens > self._limit:
                    return StopReason.CONTEXT_FULL, None
            turn, parsed = await self._generate(index, prompt, force)
            if parsed.kind == "answer":
                self._finish(turn)
                forced = StopReason.FORCED_ANSWER if force else StopReason.ANSWER
                return forced, parsed.answer
            if parsed.kind == "malformed":
                self._finish(turn)
                return StopReason.NO_ANSWER if force else StopReason.MALFORMED, None
            observation = await self._call(turn, parsed)
            ended = self._transcript.token_ids[-1] == self._setting.chat.end_of_turn
            prompt, forcing = (
                self._setting.chat.next_prompt(
                    ended, self._setting.response_pieces(observation, force=with_note)
                )
                for with_note in (False, True)
            )
        raise AssertionError("the last turn is always a forced answer")

    async def _generate(
        self, index: int, prompt: list[int], force: bool
    ) -> tuple[dict[str, Any], ParsedTurn]:
        config, chat = self._setting.config, self._setting.chat
        sampling = SamplingParams(
            temperature=self._job.temperature,
            top_p=self._job.top_p,
            max_new_tokens=config.answer_tokens if force else config.max_turn_tokens,
            seed=derive_seed(self._job.seed, index),
            stop_token_ids=chat.stop_token_ids,
        )
        conversation = [*self._transcript.token_ids, *prompt]
        started = time.perf_counter()
        generation = await self._engine.generate(self._job.trajectory_id, conversation, sampling)
        generate_s = time.perf_counter() - started
        self._cost += generation.cost
        self._transcript.append(prompt, generation)
        sampled = generation.token_ids
        content = sampled[:-1] if sampled[-1] in chat.stop_token_ids else sampled
        text = chat.decode(content)
        if chat.control_ids.intersection(content):
            parsed = ParsedTurn("malformed", error="the turn contains a control token")
        elif force:
            parsed = parse_forced_answer(text)
        else:
            parsed = parse_turn(text, self._setting.tools)
        turn = {
            "index": index,
            "text": text,
            "thought": parsed.thought,
            "action": parsed.tool or parsed.kind,
            "arguments": parsed.answer or "",
            "error": parsed.error,
            "num_prompt_tokens": len(prompt),
            # A turn whose tokens are only our reading of a text has none that was sampled.
            "num_sampled_tokens": 0 if generation.logprobs is None else len(sampled),
            "generate_s": generate_s,
        }
        return turn, parsed

    async def _call(self, turn: dict[str, Any], parsed: ParsedTurn) -> str:
        turn["arguments"] = canonical_arguments(parsed.arguments)
        started = time.perf_counter()
        try:
            observation = await self._observe(parsed)
            if not observation.error:
                self._num_tool_calls += 1
            text = neutralise(observation.text).strip() or EMPTY_OBSERVATION
            shown = self._setting.chat.cut(text, self._setting.config.observation_tokens)
            turn |= {"observation": shown, "urls": observation.urls, "error": observation.error}
            self._page_views += [
                PageView(turn["index"], parsed.tool, seen.query, seen.url, seen.page)
                for seen in observation.pages
            ]
            self._readings += [
                PageReading(turn=turn["index"], **asdict(reading))
                for reading in observation.readings
            ]
        except (ToolFailure, asyncio.CancelledError) as failure:
            turn["error"] = str(failure) or "the rollout ended during the call"
            raise
        finally:
            # Its tokens are in the transcript, whatever became of the call.
            turn["tool_s"] = time.perf_counter() - started
            self._finish(turn)
        return shown

    async def _observe(self, parsed: ParsedTurn) -> Observation:
        timeout_s = self._setting.config.tool_timeout_s
        timeout = asyncio.timeout(timeout_s)
        engine, job = UntimedEngine(self._engine, timeout), self._job
        caller = Caller(job.trajectory_id, job.policy, job.seed, engine, self._setting.chat)
        called = CALLER.set(caller)
        try:
            async with timeout:
                return await self._setting.tools[parsed.tool](parsed.arguments)
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise ToolFailure(f"{parsed.tool} did not return within {timeout_s:g} s") from error
        finally:
            engine.close()
            CALLER.reset(called)

    def _finish(self, turn: dict[str, Any]) -> None:
        finished = Turn(**turn)
        self._turns.append(finished)
        if self._on_turn is not None:
            self._on_turn(self._job.trajectory_id, finished)
