"""The declared columns of every kind of table in the store.

The same declarations write the Parquet files, shape the SQL views and make `docs/schema.md`.
A column marked volatile (a timing) is stored, but no digest covers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

_INT = pa.int32()
_TEXT = pa.string()
_REAL = pa.float64()
_FLAG = pa.bool_()


def column(
    name: str, kind: pa.DataType, doc: str, *, null: bool = False, volatile: bool = False
) -> pa.Field:
    """Declares a column: its name, type and what it holds; null: whether it may be null."""
    metadata = {"doc": doc} | ({"volatile": "true"} if volatile else {})
    return pa.field(name, kind, nullable=null, metadata=metadata)


def added(name: str, kind: pa.DataType, doc: str, *, volatile: bool = False) -> pa.Field:
    """Declares a column that older tables lack; it is null in them.

    Where all of it is null no digest covers it, so that older tables keep theirs.
    """
    field = column(name, kind, doc, null=True, volatile=volatile)
    return field.with_metadata({**field.metadata, b"added": b"true"})


@dataclass(frozen=True)
class TableKind:
    """One kind of table.

    Attributes:
        name: Name of the kind, of its folder in the store and of its SQL view.
        doc: What one row is.
        key: Columns that name a row; rows are sorted by them and unique in them.
        schema: The columns.
    """

    name: str
    doc: str
    key: tuple[str, ...]
    schema: pa.Schema


def is_volatile(field: pa.Field) -> bool:
    """Whether a column stays outside the digest."""
    return bool(field.metadata) and b"volatile" in field.metadata


def is_added(field: pa.Field) -> bool:
    """Whether older tables lack a column."""
    return bool(field.metadata) and b"added" in field.metadata


def doc_of(field: pa.Field) -> str:
    """What a column holds."""
    return str(field.metadata[b"doc"].decode()) if field.metadata else ""


_HOP = pa.struct(
    [
        column("subject", _TEXT, "Title of the page that states the fact."),
        column("relation", _TEXT, "Name of the relation."),
        column("value", _TEXT, "What the relation leads to."),
        column("url", _TEXT, "Address of the page that states the fact."),
    ]
)

_TURN = pa.struct(
    [
        column("index", _INT, "Position in the trajectory, from 0."),
        column("text", _TEXT, "The sampled text, end-of-turn token left out."),
        column("thought", _TEXT, "Content of the think tag."),
        column("action", _TEXT, "`search`, `visit`, `answer` or `malformed`."),
        column("arguments", _TEXT, "The call's arguments as canonical JSON, or the answer."),
        column("observation", _TEXT, "What the tool returned, as shown to the policy."),
        column("urls", pa.list_(_TEXT), "Addresses of the pages that the observation shows."),
        column("error", _TEXT, "What was wrong with the call, empty where nothing was."),
        column("num_prompt_tokens", _INT, "Tokens put in front of this generation."),
        column("num_sampled_tokens", _INT, "Tokens sampled, end of turn included."),
        column("generate_s", _REAL, "Seconds of generation.", volatile=True),
        column("tool_s", _REAL, "Seconds spent in the tool.", volatile=True),
    ]
)

_PAGE_VIEW = pa.struct(
    [
        column("turn", _INT, "Index of the turn whose call brought the page."),
        column("tool", _TEXT, "`search` or `visit`."),
        column("query", _TEXT, "The query that found the page, or the goal it was read for."),
        column("url", _TEXT, "Canonical address of the page."),
        column("page", _TEXT, "Digest of the snapshot; see `pages`."),
    ]
)

_READING = pa.struct(
    [
        column("turn", _INT, "Index of the turn whose visit had the page read."),
        column("page", _TEXT, "Digest of the page's snapshot; see `pages`."),
        column("goal", _TEXT, "What was looked for."),
        column("model", _TEXT, "Name of the model, or digest of the policy that read."),
        column("prompt", _TEXT, "SHA-256 of what the model was shown."),
        column("output", _TEXT, "Its last reply, as it came."),
        column("num_attempts", _INT, "How often it was asked."),
        column("input_tokens", _INT, "Tokens in, over all attempts."),
        column("output_tokens", _INT, "Tokens out, over all attempts."),
        column("cost", _REAL, "Their price when asked for; equal readings share one."),
        column("problem", _TEXT, "Why passages were shown instead; empty: the reply was used."),
    ]
)

_QUESTIONS = TableKind(
    "questions",
    "One question with its right answers.",
    ("question_id",),
    pa.schema(
        [
            column("question_id", _TEXT, "Stable id, unique over training and benchmarks."),
            column("text", _TEXT, "The question as asked."),
            column("answers", pa.list_(_TEXT), "Right answers, the canonical one first."),
            column("family", _TEXT, "Family of chains, or the benchmark it came from."),
            column("split", _TEXT, "`train`, `gate` or the name of a held-out benchmark."),
            column("num_hops", _INT, "Number of facts to be found; 0 where unknown."),
            column("start", _TEXT, "Title of the entity that the chain starts from."),
            column("chain", pa.list_(_HOP), "The known chain, hop by hop; may be empty."),
        ]
    ),
)

_TRAJECTORIES = TableKind(
    "trajectories",
    "One rollout, recorded whole.",
    ("trajectory_id",),
    pa.schema(
        [
            column("trajectory_id", _TEXT, "Unique in its artifact."),
            column("question_id", _TEXT, "The question that was asked."),
            column("rollout_index", _INT, "Which of the question's rollouts, from 0."),
            column("policy", _TEXT, "Digest of the policy that sampled it."),
            column("iteration", _INT, "Iteration it belongs to."),
            column("source", _TEXT, "`rollout`, `rl`, `construction`, `benchmark` or `gate`."),
            column("temperature", _REAL, "Sampling temperature."),
            column("token_ids", pa.list_(_INT), "Ids of the whole conversation."),
            column("loss_mask", pa.list_(pa.int8()), "1 at sampled tokens, 0 elsewhere."),
            column("logprobs", pa.list_(pa.float32()), "Log-probabilities of sampled tokens."),
            column("num_prompt_tokens", _INT, "Length of the first prompt."),
            column("turns", pa.list_(_TURN), "What happened, turn by turn; see `turns`."),
            column(
                "page_views",
                pa.list_(_PAGE_VIEW),
                "Pages behind its observations, see `page_views`; null: none were recorded.",
                null=True,
            ),
            column(
                "readings",
                pa.list_(_READING),
                "What models were asked about pages, see `readings`; null: none were recorded.",
                null=True,
            ),
            column("answer", _TEXT, "The final answer, null where there was none.", null=True),
            column("stop_reason", _TEXT, "Why it ended."),
            column("format_ok", _FLAG, "Whether every turn strictly matched the protocol."),
            column("num_tool_calls", _INT, "Well-formed calls that were executed."),
            column("num_tokens", _INT, "Tokens of the whole conversation."),
            column("num_sampled_tokens", _INT, "Tokens that the policy sampled."),
            column("error", _TEXT, "What failed, for infrastructure endings."),
            column("wall_s", _REAL, "Seconds from start to end.", volatile=True),
            added("cost", _REAL, "Paid to an API for its turns.", volatile=True),
        ]
    ),
)

_PAGES = TableKind(
    "pages",
    "One snapshot of a page, as a tool read it.",
    ("page",),
    pa.schema(
        [
            column("page", _TEXT, "Digest over url, title and text."),
            column("url", _TEXT, "Canonical address."),
            column("title", _TEXT, "Title."),
            column("text_digest", _TEXT, "SHA-256 of the text alone."),
            column("text", _TEXT, "Plain text, whole."),
            column("fetched_at", _TEXT, "When it was first read, ISO 8601 in UTC.", volatile=True),
        ]
    ),
)

_WEB_CACHE = TableKind(
    "web_cache",
    "One answer of the web, as a stage recorded or replayed it.",
    ("request",),
    pa.schema(
        [
            column("request", _TEXT, "Digest of kind and request; equal requests have one."),
            column("kind", _TEXT, "What was asked: `search.local`, `search.serper`, `page`, …."),
            column("asked", _TEXT, "The request, canonical JSON."),
            column("response", _TEXT, "The answer, JSON."),
            column("fetched_at", _TEXT, "When it came, ISO 8601 in UTC.", volatile=True),
            column("wall_s", _REAL, "Seconds it took.", volatile=True),
            column(
                "cost",
                _REAL,
                "Paid since the answer before, failed attempts included; 0 where replayed.",
                volatile=True,
            ),
        ]
    ),
)

_REWARDS = TableKind(
    "rewards",
    "The reward of one trajectory.",
    ("trajectory_id",),
    pa.schema(
        [
            column("trajectory_id", _TEXT, "The trajectory."),
            column("question_id", _TEXT, "Its question."),
            column("format", _REAL, "Format part, 0 to 1."),
            column("answer", _REAL, "Answer part, 0 to 1."),
            column(
                "total", _REAL, "The reward; null: infrastructure failed, or unjudged.", null=True
            ),
        ]
    ),
)

_VERDICTS = TableKind(
    "verdicts",
    "The filter's verdict on one trajectory.",
    ("trajectory_id",),
    pa.schema(
        [
            column("trajectory_id", _TEXT, "The trajectory."),
            column("question_id", _TEXT, "Its question."),
            column("kept", _FLAG, "Whether it becomes a training example."),
            column("reason", _TEXT, "Why it was kept or dropped."),
            column("rank", _INT, "Place among those that passed; null: did not.", null=True),
        ]
    ),
)

_SFT_EXAMPLES = TableKind(
    "sft_examples",
    "One training example: a kept trajectory's tokens and mask.",
    ("trajectory_id",),
    pa.schema(
        [
            column("trajectory_id", _TEXT, "The trajectory it was made from."),
            column("question_id", _TEXT, "Its question."),
            column("token_ids", pa.list_(_INT), "Ids of the whole conversation."),
            column("loss_mask", pa.list_(pa.int8()), "1 where there is loss, 0 elsewhere."),
        ]
    ),
)

_ANSWERS = TableKind(
    "answers",
    "One policy's answer to one benchmark (or gate) question, in one attempt.",
    ("policy", "benchmark", "question_id", "attempt"),
    pa.schema(
        [
            column("policy", _TEXT, "Digest of the policy."),
            column("benchmark", _TEXT, "Name of the benchmark, or `gate`."),
            column("question_id", _TEXT, "The question."),
            added("attempt", _INT, "Which of the question's attempts, from 0."),
            added("family", _TEXT, "The question's family or type; empty where unknown."),
            added("num_hops", _INT, "Facts to be found; 0 where unknown."),
            column("trajectory_id", _TEXT, "The trajectory that led to the answer."),
            column("predicted", _TEXT, "The answer, null where there was none.", null=True),
            column("golds", pa.list_(_TEXT), "The right answers."),
            column("em", _REAL, "Exact match, 0 or 1."),
            column("f1", _REAL, "Token F1, 0 to 1."),
            column("accuracy", _REAL, "Rule-based accuracy, 0 or 1."),
            column("judge", _REAL, "The judge's mark, 0 or 1; null: unjudged.", null=True),
            added("judged_by", _TEXT, "Who marked it: model and prompt, or `rules`."),
            added("judge_reason", _TEXT, "Why, in the judge's words, or why it is unjudged."),
            column("stop_reason", _TEXT, "Why the trajectory ended."),
            column("num_tokens", _INT, "Tokens of the conversation."),
            column("num_tool_calls", _INT, "Tool calls executed."),
            added("seconds", _REAL, "Seconds of the trajectory.", volatile=True),
            added("cost", _REAL, "Paid for the policy's turns and page readings.", volatile=True),
        ]
    ),
)

_BENCHMARKS = TableKind(
    "benchmarks",
    "One policy's mean scores on one benchmark (or the gate).",
    ("policy", "benchmark"),
    pa.schema(
        [
            column("policy", _TEXT, "Digest of the policy."),
            column("benchmark", _TEXT, "Name of the benchmark, or `gate`."),
            column("num_questions", _INT, "Questions scored."),
            column("em", _REAL, "Mean exact match, 0 to 1."),
            column("f1", _REAL, "Mean token F1, 0 to 1."),
            column("accuracy", _REAL, "Mean rule-based accuracy, 0 to 1."),
            column("ci_low", _REAL, "Lower end of accuracy's interval (`benchmark.confidence`)."),
            column("ci_high", _REAL, "Upper end of accuracy's interval."),
            added("mbe", _REAL, "Mean of the judge's marks; null: none was judged."),
            added("mbe_low", _REAL, "Lower end of its interval."),
            added("mbe_high", _REAL, "Upper end of its interval."),
            added("unjudged", _INT, "Answers that the judge failed on."),
            added("num_answers", _INT, "Answers scored, all attempts counted."),
            added("failed", _INT, "Attempts that an infrastructure fault ended."),
            added("k", _INT, "k of pass@k and cons@k."),
            added("pass_at_k", _REAL, "Chance that one of k attempts is right."),
            added("cons_at_k", _REAL, "Share of k attempts that are right."),
            added("tool_calls", _REAL, "Mean tool calls of an attempt."),
            added("tokens", _REAL, "Mean tokens of an attempt."),
            added("seconds", _REAL, "Mean seconds of an attempt.", volatile=True),
            added("cost", _REAL, "Mean cost of an attempt.", volatile=True),
        ]
    ),
)

_CLOSED_BOOK = TableKind(
    "closed_book",
    "What the base policy knows of one training question, asked without any tool.",
    ("policy", "question_id"),
    pa.schema(
        [
            column("policy", _TEXT, "Digest of the policy."),
            column("question_id", _TEXT, "The question."),
            column("num_attempts", _INT, "Answers sampled, failed attempts left out."),
            column("num_right", _INT, "Those of them that are right."),
            column("known", _FLAG, "Whether any is right (pass@k)."),
            column("answers", pa.list_(_TEXT), "The answers, where there was one."),
        ]
    ),
)

_TRAINING_STEPS = TableKind(
    "training_steps",
    "One optimizer step of SFT or RL; a stage at work shows those that it has done.",
    ("step",),
    pa.schema(
        [
            column("stage", _TEXT, "`sft` or `rl`."),
            column("step", _INT, "Number of the step, from 1."),
            column("num_steps", _INT, "Steps of the whole training."),
            column("loss", _REAL, "Loss, mean over the step's loss tokens."),
            column("grad_norm", _REAL, "Global norm of the gradient before clipping."),
            column("learning_rate", _REAL, "Learning rate that the step used."),
            column("tokens", pa.int64(), "Tokens of the step's sequences, prompts included."),
            column("wall_s", _REAL, "Seconds of the step, rollouts included.", volatile=True),
            column("tokens_per_s", _REAL, "`tokens` over `wall_s`.", volatile=True),
            column(
                "mfu",
                _REAL,
                "Model FLOPs over the peak of the devices, 0 to 1; null: the peak is not known.",
                null=True,
                volatile=True,
            ),
            column("reward_mean", _REAL, "RL: mean reward of the step's rollouts.", null=True),
            column("answer_mean", _REAL, "RL: mean reward of the answers alone.", null=True),
            column("format_rate", _REAL, "RL: share of rollouts of right format.", null=True),
            column("num_mixed_groups", _INT, "RL: groups of unequal rewards.", null=True),
            column("entropy", _REAL, "RL: mean -log p of sampled tokens, in nats.", null=True),
            column("tool_calls", _REAL, "RL: mean number of tool calls a rollout.", null=True),
            column("searches", _REAL, "RL: mean number of searches a rollout.", null=True),
            column("sampled_tokens", _REAL, "RL: mean sampled tokens a rollout.", null=True),
            column("repetition", _REAL, "RL: share of repeated text, 0 to 1.", null=True),
            column("infrastructure_rate", _REAL, "RL: share of rollouts that failed.", null=True),
            column("zero_variance_share", _REAL, "RL: share of groups not mixed.", null=True),
            column("engine_kl", _REAL, "RL: divergence of trainer and engine.", null=True),
            column("ratio_ess", _REAL, "RL: effective share of the samples.", null=True),
            column("ratio_mean", _REAL, "RL: mean ratio of trainer to engine.", null=True),
            column("clip_ratio", _REAL, "RL: share of ratios that were clipped.", null=True),
            column("token_accuracy", _REAL, "SFT: share of loss tokens ranked first.", null=True),
            column("rollout_s", _REAL, "RL: seconds of rollouts.", null=True, volatile=True),
            column("metrics", pa.map_(_TEXT, _REAL), "All further figures, by name."),
            column("timings", pa.map_(_TEXT, _REAL), "Further seconds, by name.", volatile=True),
        ]
    ),
)

TABLES: Mapping[str, TableKind] = {
    kind.name: kind
    for kind in (
        _QUESTIONS,
        _TRAJECTORIES,
        _PAGES,
        _WEB_CACHE,
        _REWARDS,
        _VERDICTS,
        _SFT_EXAMPLES,
        _ANSWERS,
        _BENCHMARKS,
        _CLOSED_BOOK,
        _TRAINING_STEPS,
    )
}
"""Every kind of table by name; `policies` is a kind of artifact too, but no table."""

POLICIES = "policies"
"""The kind of artifact that holds a model's files."""
