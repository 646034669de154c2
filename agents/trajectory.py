"""What is asked and what happened: questions, turns, trajectories and the policies behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from agents.tools.base import Reading


class StopReason(StrEnum):
    """Why a trajectory ended; every trajectory has exactly one."""

    ANSWER = "answer"
    """The policy answered of its own accord."""
    FORCED_ANSWER = "forced_answer"
    """A limit was near, the answer was asked for, and it came."""
    NO_ANSWER = "no_answer"
    """A limit was near, the answer was asked for, and none came."""
    MALFORMED = "malformed"
    """A turn did not follow the protocol."""
    CONTEXT_FULL = "context_full"
    """The question or an observation left no room for an answer."""
    DEADLINE = "deadline"
    """The rollout's time was over (infrastructure: no reward)."""
    TOOL_ERROR = "tool_error"
    """A tool failed for reasons outside the policy (infrastructure: no reward)."""
    ENGINE_ERROR = "engine_error"
    """The engine failed (infrastructure: no reward)."""

    @property
    def is_infrastructure(self) -> bool:
        """Whether the ending says nothing about the policy, so that it earns no reward."""
        return self in (StopReason.DEADLINE, StopReason.TOOL_ERROR, StopReason.ENGINE_ERROR)


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """A policy by name: where its weights lie and the digest of their content."""

    uri: str
    digest: str


@dataclass(frozen=True, slots=True)
class Hop:
    """One fact of a question's chain.

    Attributes:
        subject: Title of the page that states the fact.
        relation: Name of the relation (`country`, `capital`, …).
        value: What the relation leads to, as that page writes it.
        url: Address of the page that states the fact.
    """

    subject: str
    relation: str
    value: str
    url: str


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its right answers.

    Attributes:
        question_id: Stable id, unique over training and benchmarks.
        text: The question as asked.
        answers: Right answers, the canonical one first, aliases after it.
        family: The family of chains it was built from, or the benchmark it came from.
        split: `train`, `gate` or the name of a held-out benchmark.
        num_hops: Number of facts to be found; 0 where unknown.
        start: Title of the entity the chain starts from; empty where unknown.
        chain: The known chain, empty for questions that come without one.
    """

    question_id: str
    text: str
    answers: tuple[str, ...]
    family: str = ""
    split: str = "train"
    num_hops: int = 0
    start: str = ""
    chain: tuple[Hop, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """One generation of the policy and what its action brought.

    Attributes:
        index: Position in the trajectory, from 0.
        text: The sampled text, end-of-turn token left out.
        thought: Content of `<think>`, empty where absent.
        action: `search`, `visit`, `answer` or `malformed`.
        arguments: The tool call's arguments as canonical JSON, or the answer's text.
        observation: What the tool returned, as shown to the policy; empty for an answer.
        urls: Addresses of the pages that the observation shows.
        error: What was wrong with the call, empty where nothing was.
        num_prompt_tokens: Tokens put in front of this generation and not sampled.
        num_sampled_tokens: Tokens sampled, the end-of-turn token included.
        generate_s: Seconds from the request to the generated turn.
        tool_s: Seconds spent in the tool.
    """

    index: int
    text: str
    thought: str
    action: str
    arguments: str
    observation: str = ""
    urls: tuple[str, ...] = ()
    error: str = ""
    num_prompt_tokens: int = 0
    num_sampled_tokens: int = 0
    generate_s: float = 0.0
    tool_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PageView:
    """One page that an observation came from.

    Attributes:
        turn: Index of the turn whose call brought it.
        tool: `search` or `visit`.
        query: The query that found it, or the goal it was read for.
        url: Its canonical address.
        page: Digest of the snapshot; see `agents.snapshots`.
    """

    turn: int
    tool: str
    query: str
    url: str
    page: str


@dataclass(frozen=True, slots=True)
class PageReading(Reading):
    """One page that a model read in the course of a trajectory.

    Attributes:
        turn: Index of the turn whose call had it read.
    """

    turn: int


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One rollout, recorded whole.

    `token_ids`, `loss_mask` and `logprobs` have the same length L. The mask is 1 exactly at
    tokens that the policy sampled, end-of-turn tokens included; elsewhere the logprob is 0.

    Attributes:
        trajectory_id: Unique in a stage's artifact; see `trajectory_id_of`.
        question_id: The question that was asked.
        rollout_index: Which of the question's rollouts this is, from 0.
        policy: Digest of the policy that sampled it.
        iteration: Iteration it belongs to (0: before the first).
        source: Where it was made: `rollout`, `rl`, `construction`, `benchmark`, `gate` or `ask`.
        temperature: Sampling temperature; logprobs are of the tempered distribution.
        token_ids: (L,) ids of the whole conversation.
        loss_mask: (L,) 1 at sampled tokens, 0 elsewhere.
        logprobs: (L,) natural log-probabilities of sampled tokens, 0 elsewhere.
        num_prompt_tokens: Length of the first prompt.
        turns: What happened, turn by turn.
        answer: The final answer, None where there was none.
        stop_reason: Why it ended.
        format_ok: Whether every turn strictly matched the protocol.
        num_tool_calls: Number of well-formed calls that were executed.
        error: What failed, for infrastructure endings.
        wall_s: Seconds from start to end.
        page_views: Pages that the observations came from, in the order they were shown.
        readings: What a model was asked about them, none of it in `token_ids`.
        cost: What an API was paid for its turns; readings have costs of their own.
    """

    trajectory_id: str
    question_id: str
    rollout_index: int
    policy: str
    iteration: int
    source: str
    temperature: float
    token_ids: tuple[int, ...]
    loss_mask: tuple[int, ...]
    logprobs: tuple[float, ...]
    num_prompt_tokens: int
    turns: tuple[Turn, ...] = field(default=())
    answer: str | None = None
    stop_reason: StopReason = StopReason.MALFORMED
    format_ok: bool = False
    num_tool_calls: int = 0
    error: str = ""
    wall_s: float = 0.0
    page_views: tuple[PageView, ...] = ()
    readings: tuple[PageReading, ...] = ()
    cost: float = 0.0


def trajectory_id_of(policy: str, source: str, iteration: int, question_id: str, index: int) -> str:
    """Names a trajectory by what it is a rollout of, so that a resumed stage finds it again."""
    return f"{policy[:12]}-{source}-{iteration}-{question_id}-{index}"
