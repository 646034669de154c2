"""A trajectory of this project as a conversation, to be written in any form."""

from __future__ import annotations

from agents.chat_format import ChatFormat
from agents.protocol import ANSWER_PREFIX
from agents.trajectory import Question, StopReason, Trajectory
from training.construction.formats.conversation import ChatTurn, Conversation


def conversation_of(
    trajectory: Trajectory, question: Question, chat: ChatFormat, tools: str = ""
) -> Conversation:
    """Reads the messages of a trajectory's tokens back.

    Args:
        trajectory: The trajectory.
        question: Its question.
        chat: The chat format of the tokenizer that made it.
        tools: The tools' schemas as JSON text.

    Raises:
        EngineError: The tokens are no conversation of this chat format.
        ValueError: It is another question's, or nothing was said.
    """
    if trajectory.question_id != question.question_id:
        raise ValueError(f"trajectory of {trajectory.question_id} with {question.question_id}")
    if not trajectory.turns:
        raise ValueError(f"trajectory {trajectory.trajectory_id} has no turn")
    ids = trajectory.token_ids
    messages = chat.messages(ids[:-1] if ids[-1] == chat.end_of_turn else ids)
    system = messages.pop(0)["content"] if messages[0]["role"] == "system" else None
    texts = [message["content"] for message in messages]
    said, responses = texts[1::2], [*texts[2::2], None]
    forced = trajectory.stop_reason in (StopReason.FORCED_ANSWER, StopReason.NO_ANSWER)
    turns = []
    for place, (text, response) in enumerate(zip(said, responses, strict=False)):
        # Only the last turn can be one that was asked for.
        asked = forced and place == len(said) - 1 and text.startswith(ANSWER_PREFIX)
        given = ANSWER_PREFIX if asked else ""
        turns.append(ChatTurn(text.removeprefix(given), response, given))
    rest = {
        "trajectory_id": trajectory.trajectory_id,
        "policy": trajectory.policy,
        "iteration": trajectory.iteration,
        "stop_reason": trajectory.stop_reason.value,
    }
    return Conversation(
        question.text, question.answers, system, texts[0], tuple(turns), tools, rest
    )
