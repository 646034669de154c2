"""Conversations made by hand and by hypothesis, for tests of forms and of the funnel."""

from __future__ import annotations

import json

import pytest
from hypothesis import strategies as st
from shared_data import SHARED_DATA

from training.construction.formats.conversation import ChatTurn, Conversation
from training.construction.formats.turn_text import Call, write_response, write_turn

SHIPPED = SHARED_DATA / "trajectories" / "webdancer_sample_traj.jsonl"
needs_shipped = pytest.mark.skipif(not SHIPPED.exists(), reason="the shared data are not here")

QUESTION = "Which river runs through the capital of France?"
ANSWER = "The river that runs through Paris is the **Seine**."
FOUND = "Paris is the capital of France. It lies on the Seine, a river of 777 km."
URL = "https://example.org/Paris"


def call(tool="search", **arguments):
    return Call(tool, arguments or {"query": ["France capital river"]})


def said(thought, *calls, answer=None):
    return write_turn(thought, calls, answer)


def turn(thought="I need the capital.", *calls, seen=FOUND):
    return ChatTurn(said(thought, *(calls or (call(),))), write_response(seen))


def closing(thought="Paris lies on the Seine, so that is the river.", answer=ANSWER):
    return ChatTurn(said(thought, answer=answer))


def conversation(*turns, question=QUESTION, answers=("Seine",), user=""):
    return Conversation(
        question, tuple(answers), "You search.", user or f"Prompt.\n\nUser: {question}",
        turns or (turn(), closing()),
    )  # fmt: skip


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
contents = texts.filter(lambda text: "<" not in text and not text.startswith("\n"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
calls = st.builds(Call, texts.filter(bool), st.dictionaries(texts, json_values, max_size=3))
rests = st.dictionaries(
    texts.filter(lambda name: name not in {"messages", "answer", "functions"}), json_values,
    max_size=3,
)  # fmt: skip
questions = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)


@st.composite
def free_conversations(draw):
    """Any texts at all: what forms of texts must hold."""
    said_texts = draw(st.lists(texts, min_size=1, max_size=4))
    seen = draw(st.lists(texts, min_size=len(said_texts) - 1, max_size=len(said_texts) - 1))
    question = draw(questions)
    return Conversation(
        question,
        tuple(draw(st.lists(texts.filter(bool), max_size=3))),
        draw(st.none() | texts),
        f"{draw(texts)}\n\nUser: {question}",
        tuple(map(ChatTurn, said_texts, [*seen, None])),
        draw(st.just("") | st.just('[{"name": "search"}]')),
        draw(rests),
    )


@st.composite
def react_conversations(draw):
    """Calls and observations in the usual layout: what forms of parts must hold."""
    turns = [
        ChatTurn(write_turn(draw(contents), [draw(calls)], None), write_response(draw(contents)))
        for _ in range(draw(st.integers(0, 3)))
    ]
    turns.append(ChatTurn(write_turn(draw(contents.filter(bool)), (), draw(contents))))
    question = draw(questions)
    return Conversation(
        question, ("x",), draw(st.none() | texts), f"P\n\nUser: {question}", tuple(turns), "",
        draw(rests),
    )  # fmt: skip


def write_lines(path, rows):
    """Rows as JSONL; a row that is bytes stands as it is."""
    lines = [
        row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode()
        for row in rows
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path
