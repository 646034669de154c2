"""A conversation as this project's trajectory: token ids and loss mask, for any tokenizer.

It is put together as a rollout is: the ids so far, then the ids of a suffix, and what the policy
said between them, so that the mask is made by the one transcript there is. Thoughts, calls, answers
and the token that ends a turn are learnt; prompt, responses and template are not.

Observations and the question are untrusted, as in a rollout: tags in them lose their force, and no
control token in them is one. Tokens that the conversation's policy really sampled are not known:
the ids are those that this tokenizer gives its texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from agents.chat_format import ChatFormat, Tokenizer
from agents.engines.base import Generation
from agents.prompt import QUESTION_MARK, Prompt
from agents.protocol import (
    RESPONSE_CLOSE,
    RESPONSE_OPEN,
    ParsedTurn,
    canonical_arguments,
    is_well_formed,
    neutralise,
    parse_forced_answer,
    parse_turn,
)
from agents.trajectory import Question, StopReason, Trajectory, Turn, trajectory_id_of
from agents.transcript import Transcript
from training.construction.formats.conversation import ChatTurn, Conversation
from training.construction.formats.turn_text import split_response

IMPORTED = "imported"
"""Stands for the policy's digest in trajectories whose policy is not ours."""
TOOLS = ("search", "visit")
_URL = re.compile(r"https?://[^\s<>\"')\]]+")

Pieces = list[tuple[str, bool]]


class ConversationEncoder:
    """Makes trajectories of conversations.

    Args:
        tokenizer: The policy's tokenizer.
        prompt: What is put in place of a conversation's own system and user texts, so that it is
            learnt under the prompt that rollouts will have; None keeps its own.
        tools: Names of the tools that may be called; a call of another one is malformed.
        policy: Stands for the policy's digest.
        iteration: Iteration that the trajectories belong to.

    Raises:
        EngineError: The tokenizer has no usable chat template.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt: Prompt | None = None,
        tools: Sequence[str] = TOOLS,
        policy: str = IMPORTED,
        iteration: int = 0,
    ) -> None:
        self.chat = ChatFormat(tokenizer)
        self._prompt = prompt
        self._tools = frozenset(tools)
        self._policy = policy
        self._iteration = iteration

    def encode_all(self, conversations: Iterable[Conversation]) -> Iterator[Trajectory]:
        """Makes a trajectory of each; those of one question are numbered in their order."""
        seen: Counter[str] = Counter()
        for conversation in conversations:
            yield self.encode(conversation, seen[conversation.question_id])
            seen[conversation.question_id] += 1

    def encode(self, conversation: Conversation, rollout_index: int = 0) -> Trajectory:
        """Makes a trajectory of a conversation, malformed turns included.

        Args:
            conversation: At least one turn.
            rollout_index: Which of its question's trajectories it is.
        """
        transcript = Transcript()
        prompt = self._first(conversation)
        turns: list[Turn] = []
        for index, turn in enumerate(conversation.turns):
            prompt += self.chat.encode(turn.given) if turn.given else []
            sampled = (*self.chat.encode_reply(turn.text), self.chat.end_of_turn)
            transcript.append(prompt, Generation(sampled, (0.0,) * len(sampled), "stop"))
            turns.append(self._turn(index, turn, len(prompt), len(sampled)))
            if turn.response is not None:
                prompt = self.chat.next_prompt(True, _response(turn.response))
        stop_reason = self._stop_reason(conversation.turns, turns)
        answered = stop_reason in (StopReason.ANSWER, StopReason.FORCED_ANSWER)
        question_id = conversation.question_id
        return Trajectory(
            trajectory_id=trajectory_id_of(
                self._policy, "construction", self._iteration, question_id, rollout_index
            ),
            question_id=question_id,
            rollout_index=rollout_index,
            policy=self._policy,
            iteration=self._iteration,
            source="construction",
            temperature=0.0,
            token_ids=tuple(transcript.token_ids),
            loss_mask=tuple(transcript.loss_mask),
            logprobs=tuple(transcript.logprobs),
            num_prompt_tokens=transcript.num_prompt_tokens,
            turns=tuple(turns),
            answer=turns[-1].arguments if answered else None,
            stop_reason=stop_reason,
            format_ok=is_well_formed(tuple(turns), stop_reason),
            num_tool_calls=sum(turn.action in self._tools for turn in turns),
        )

    def _first(self, conversation: Conversation) -> list[int]:
        question = conversation.question
        if self._prompt is not None:
            pieces = _around(self._prompt.user, QUESTION_MARK, question)
            return self.chat.first_prompt(self._prompt.system, pieces)
        # The row's own prompt shows tags that mean what they say, and control tokens that do not.
        ids = [
            *self.chat.before_system,
            *self.chat.encode_reply(conversation.system or ""),
            *self.chat.before_user,
        ]
        for text, ours in _around(conversation.user, question, question):
            ids += self.chat.encode_reply(text) if ours else self.chat.encode_plain(text)
        return [*ids, *self.chat.generation]

    def _turn(self, index: int, turn: ChatTurn, num_prompt: int, num_sampled: int) -> Turn:
        parsed = self._parsed(turn)
        observation = turn.observation or ""
        urls = _URL.findall(observation) if parsed.kind == "call" else []
        return Turn(
            index=index,
            text=turn.text,
            thought=parsed.thought,
            action=parsed.tool or parsed.kind,
            arguments=canonical_arguments(parsed.arguments)
            if parsed.kind == "call"
            else parsed.answer or "",
            observation=observation,
            urls=tuple(dict.fromkeys(urls)),
            error=parsed.error,
            num_prompt_tokens=num_prompt,
            num_sampled_tokens=num_sampled,
        )

    def _parsed(self, turn: ChatTurn) -> ParsedTurn:
        return parse_forced_answer(turn.text) if turn.given else parse_turn(turn.text, self._tools)

    @staticmethod
    def _stop_reason(said: Sequence[ChatTurn], turns: Sequence[Turn]) -> StopReason:
        # An answer in the middle ends no conversation of ours, so what goes on is malformed.
        early = any(turn.action == "answer" for turn in turns[:-1])
        if early or any(turn.action == "malformed" for turn in turns):
            return StopReason.MALFORMED
        if turns[-1].action != "answer" or said[-1].response is not None:
            return StopReason.NO_ANSWER
        return StopReason.FORCED_ANSWER if said[-1].given else StopReason.ANSWER


def question_of(conversation: Conversation, family: str = "imported") -> Question:
    """The question of a conversation, as the trajectories of `ConversationEncoder` name it."""
    return Question(
        conversation.question_id, conversation.question, conversation.answers, family=family
    )


def _around(text: str, mark: str, question: str) -> Pieces:
    """A text in pieces, the question untrusted wherever it stands."""
    before, *after = text.split(mark)
    pieces = [(before, True)]
    for rest in after:
        pieces += [(question, False), (rest, True)]
    return pieces


def _response(response: str) -> Pieces:
    parts = split_response(response)
    if parts is None:
        return [(neutralise(response), False)]
    observation, note = parts
    pieces = [(RESPONSE_OPEN, True), (neutralise(observation), False), (RESPONSE_CLOSE, True)]
    return [*pieces, (neutralise(note), False)] if note else pieces
