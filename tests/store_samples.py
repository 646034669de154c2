"""Small, made-up records that the store's tests write."""

from __future__ import annotations

from agents.trajectory import Hop, Question, StopReason, Trajectory, Turn


def question(question_id: str = "q0") -> Question:
    return Question(
        question_id=question_id,
        text="What is the currency of France?",
        answers=("euro", "EUR"),
        family="country_currency",
        num_hops=1,
        start="France (country)",
        chain=(Hop("France", "currency", "euro", "http://wiki.local/France"),),
    )


def trajectory(
    index: int = 0, question_id: str = "q0", wall_s: float = 1.5, answer: str | None = "euro"
) -> Trajectory:
    turns = (
        Turn(
            0,
            "<think>x</think>",
            "x",
            "search",
            '{"query":["France"]}',
            observation="The currency of France is euro.",
            urls=("http://wiki.local/France",),
            num_prompt_tokens=4,
            num_sampled_tokens=2,
            generate_s=wall_s / 2,
            tool_s=wall_s / 4,
        ),
        Turn(1, "<answer>euro</answer>", "", "answer", "euro", num_sampled_tokens=2),
    )
    return Trajectory(
        trajectory_id=f"p-rollout-1-{question_id}-{index}",
        question_id=question_id,
        rollout_index=index,
        policy="p" * 64,
        iteration=1,
        source="rollout",
        temperature=0.7,
        token_ids=(1, 2, 3, 4, 5, 6),
        loss_mask=(0, 0, 1, 1, 0, 1),
        logprobs=(0.0, 0.0, -0.5, -0.25, 0.0, -1.0),
        num_prompt_tokens=2,
        turns=turns,
        answer=answer,
        stop_reason=StopReason.ANSWER,
        format_ok=True,
        num_tool_calls=1,
        wall_s=wall_s,
    )
