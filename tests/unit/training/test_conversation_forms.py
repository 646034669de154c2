"""Conversations in every form: what comes back, what is said of the rest, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from conversation_samples import (
    SHIPPED,
    call,
    closing,
    conversation,
    free_conversations,
    needs_shipped,
    react_conversations,
    said,
    texts,
    turn,
    write_lines,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import UsageError
from training.construction.formats import llama_factory, table, trl, webdancer
from training.construction.formats.conversation import ChatTurn
from training.construction.formats.detecting import form_of
from training.construction.formats.files import Form, read_file, write_file
from training.construction.formats.losses import losses_of
from training.construction.formats.problems import LossKind, RowProblem
from training.construction.formats.turn_text import read_turn, write_turn

TEXT_FORMS = {
    "webdancer": (webdancer.to_row, webdancer.from_row),
    "trl-messages": (trl.to_messages_row, trl.from_row),
    "trl-prompt-completion": (trl.to_prompt_completion_row, trl.from_row),
    "alpaca": (llama_factory.to_alpaca_row, llama_factory.from_alpaca_row),
    "parquet": (table.to_row, table.from_row),
}
PART_FORMS = {
    **TEXT_FORMS,
    "trl-tools": (trl.to_tools_row, trl.from_row),
    "sharegpt": (llama_factory.to_sharegpt_row, llama_factory.from_sharegpt_row),
}


def through(form, each):
    write, read = PART_FORMS[form]
    return read(json.loads(json.dumps(write(each))))


@pytest.mark.parametrize("form", TEXT_FORMS)
@settings(deadline=None, max_examples=60)
@given(each=free_conversations())
def test_forms_of_texts_hold_any_text(form, each):
    assert losses_of(each, through(form, each)) == []


@pytest.mark.parametrize("form", PART_FORMS)
@settings(deadline=None, max_examples=60)
@given(each=react_conversations())
def test_forms_of_parts_hold_what_is_laid_out_as_usual(form, each):
    back = through(form, each)
    assert [(t.text, t.response) for t in back.turns] == [(t.text, t.response) for t in each.turns]
    assert losses_of(each, back) == []


@pytest.mark.parametrize("form", ["trl-tools", "sharegpt"])
@settings(deadline=None, max_examples=60)
@given(each=free_conversations())
def test_forms_of_parts_say_what_they_lose_of_any_text(form, each):
    back = through(form, each)
    same = [(t.text, t.response) for t in back.turns] == [(t.text, t.response) for t in each.turns]
    kinds = {loss.kind for loss in losses_of(each, back)}
    assert same == (LossKind.LAYOUT not in kinds)


@settings(deadline=None)
@given(texts)
def test_reading_a_turn_never_fails(text):
    parts = read_turn(f"<think>{text}</think><tool_call>{text}</tool_call><answer>{text}")
    assert parts.answer is None


@settings(deadline=None)
@given(react_conversations())
def test_a_turn_is_written_as_it_was_read(each):
    for one in each.turns:
        parts = one.parts
        assert write_turn(parts.thought, parts.calls, parts.answer) == one.text


def test_trl_keeps_calls_apart_as_its_templates_want_them():
    row = trl.to_tools_row(conversation())
    assert [each["role"] for each in row["messages"]] == [
        "system", "user", "assistant", "tool", "assistant",
    ]  # fmt: skip
    asked, _, answered = row["messages"][2:]
    assert asked["tool_calls"] == [
        {
            "type": "function",
            "function": {"name": "search", "arguments": {"query": ["France capital river"]}},
        }
    ]
    assert asked["reasoning_content"] == "I need the capital."
    assert answered["content"].startswith("The river")
    assert "tools" not in trl.to_messages_row(conversation())


def test_rows_of_other_trl_users_are_read():
    messages = [
        {"role": "user", "content": "Who?"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [{"function": {"name": "search", "arguments": {"query": ["who"]}}}],
        },
        {"role": "tool", "name": "search", "content": "Ada"},
        {"role": "assistant", "content": "Ada Lovelace"},
    ]
    read = trl.from_row({"messages": messages, "tools": [{"name": "search"}], "score": 3})
    assert read.question == "Who?"
    assert read.system is None
    assert read.final_answer == "Ada Lovelace"
    assert (read.turns[0].thought, read.turns[0].observation) == ("I look.", "Ada")
    assert read.turns[0].calls[0].arguments == {"query": ["who"]}
    assert read.tools == '[{"name": "search"}]'
    assert read.rest == {"score": 3}


def test_sharegpt_has_thought_and_call_as_llama_factory_takes_them():
    values = llama_factory.to_sharegpt_row(conversation())["conversations"]
    assert [each["from"] for each in values] == [
        "human", "function_call", "observation", "gpt",
    ]  # fmt: skip
    thought, _, body = values[1]["value"].partition("</think>")
    assert thought == "<think>\nI need the capital.\n"
    assert json.loads(body)["name"] == "search"


def test_several_calls_are_a_list_in_sharegpt():
    each = conversation(turn("Both.", call(), call("visit", url="u", goal="g")), closing())
    values = llama_factory.to_sharegpt_row(each)["conversations"]
    assert len(json.loads(values[1]["value"].partition("</think>")[2])) == 2
    assert losses_of(each, through("sharegpt", each)) == []


def test_dataset_info_names_the_columns():
    info = llama_factory.dataset_info("mine", "mine.jsonl", "sharegpt")["mine"]
    assert info["formatting"] == "sharegpt"
    assert info["columns"]["messages"] == "conversations"


def test_what_a_form_cannot_hold_is_said(tmp_path):
    odd = conversation(ChatTurn(said("One.", call()).replace("\n", ""), "no tags"), closing())
    forced = conversation(turn(), ChatTurn("Seine</answer>", given="<answer>"))
    dangling = conversation(turn())
    cases = [odd, forced, dangling]
    tools = write_file(cases, tmp_path / "tools.jsonl", Form.TRL_TOOLS)
    assert tools.num_written == 3
    assert [(loss.kind, loss.conversation_id) for loss in tools.losses] == [
        (LossKind.LAYOUT, odd.conversation_id),
        (LossKind.GIVEN_PREFIX, forced.conversation_id),
    ]
    alpaca = write_file(cases, tmp_path / "alpaca.jsonl", Form.ALPACA)
    assert alpaca.num_written == 2
    assert alpaca.counts == {"given_prefix": 1, "left_out": 1}
    parquet = write_file(cases, tmp_path / "all.parquet", Form.PARQUET)
    assert (parquet.num_written, parquet.losses) == (3, [])
    assert list(read_file(tmp_path / "all.parquet", Form.PARQUET).conversations) == cases


def test_parquet_shows_the_parts_for_sql(tmp_path):
    write_file([conversation()], tmp_path / "c.parquet", Form.PARQUET)
    [row] = pq.read_table(tmp_path / "c.parquet").to_pylist()
    assert row["final_answer"] == conversation().final_answer
    assert row["turns"][0]["thought"] == "I need the capital."
    assert json.loads(row["turns"][0]["calls"][0])["name"] == "search"


USER = {"role": "user", "content": "Who?"}
REPLY = {"role": "assistant", "content": "Ada"}
BAD = [
    (b"\xff\xfe", RowProblem.NOT_TEXT),
    (b'{"messages": "\\ud800"}', RowProblem.NOT_TEXT),
    (b'{"messages": [', RowProblem.NOT_JSON),
    (b'{"messages": NaN}', RowProblem.NOT_JSON),
    (b"[" * 100_000, RowProblem.NOT_JSON),
    (b'"text"', RowProblem.NOT_AN_OBJECT),
    ({"task": "x"}, RowProblem.MISSING_FIELD),
    ({"messages": [{"role": "user"}]}, RowProblem.MISSING_FIELD),
    ({"messages": "hello"}, RowProblem.WRONG_TYPE),
    ({"messages": [{"role": "user", "content": 3}]}, RowProblem.WRONG_TYPE),
    ({"messages": [USER, {"role": "critic", "content": ""}]}, RowProblem.UNKNOWN_ROLE),
    ({"messages": []}, RowProblem.WRONG_ORDER),
    ({"messages": [USER, USER, REPLY]}, RowProblem.WRONG_ORDER),
    ({"messages": [USER, REPLY, REPLY]}, RowProblem.WRONG_ORDER),
    ({"messages": [{"role": "user", "content": " \n"}, REPLY]}, RowProblem.NO_QUESTION),
    ({"messages": [USER]}, RowProblem.NO_TURN),
]


def test_bad_rows_are_counted_with_line_and_reason_and_the_others_read(tmp_path):
    good = webdancer.to_row(conversation())
    # The first line must not look like a JSON list.
    rows = [good, *(row for row, _ in BAD), b"", good]
    read = read_file(write_lines(tmp_path / "rows.jsonl", rows), Form.WEBDANCER)
    found = [(bad.line, bad.problem) for bad in read.bad]
    assert found == [(at, problem) for at, (_, problem) in enumerate(BAD, start=2)]
    assert read.lines == [1, len(BAD) + 3]
    assert read.problems["not_json"] == 3
    assert all(bad.detail for bad in read.bad)


@pytest.mark.parametrize("value", ["no json", '{"name": "search"}', '["x"]'])
def test_a_call_without_name_or_arguments_is_refused(tmp_path, value):
    row = {"conversations": [{"from": "human", "value": "Who?"}]}
    row["conversations"].append({"from": "function_call", "value": value})
    read = read_file(write_lines(tmp_path / "c.jsonl", [row]), Form.SHAREGPT)
    assert [bad.problem for bad in read.bad] == [RowProblem.BAD_CALL]


def test_json_lists_are_read_by_entry(tmp_path):
    path = tmp_path / "list.json"
    rows = [llama_factory.to_alpaca_row(conversation()), {"instruction": "x"}]
    path.write_text(json.dumps(rows))
    read = read_file(path, Form.ALPACA)
    assert read.lines == [1]
    assert [(bad.line, bad.problem) for bad in read.bad] == [(2, RowProblem.MISSING_FIELD)]


@settings(deadline=None, max_examples=80)
@given(data=st.binary(max_size=200), form=st.sampled_from([*Form]))
def test_no_file_ends_in_another_error(tmp_path_factory, data, form):
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(data)
    if form is Form.PARQUET:
        with pytest.raises(UsageError, match="no Parquet file"):
            read_file(path, form)
    else:
        read_file(path, form)


@settings(deadline=None, max_examples=80)
@given(
    row=st.dictionaries(
        st.sampled_from(["messages", "conversations", "prompt", "completion", "system", "answer",
                         "instruction", "output", "history", "turns", "user", "question", "rest"]),
        st.recursive(
            st.none() | st.text(max_size=4) | st.integers(),
            lambda inner: st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["role", "content", "from", "value", "tool_calls",
                                               "function", "reasoning_content", "text"]), inner),
            max_leaves=8,
        ),
    ),
    form=st.sampled_from([each for each in Form if each is not Form.PARQUET]),
)  # fmt: skip
def test_no_row_ends_in_another_error(tmp_path_factory, row, form):
    path = write_lines(tmp_path_factory.mktemp("any") / "rows.jsonl", [row])
    read = read_file(path, form)
    assert len(read.conversations) + len(read.bad) == 1


def test_a_list_as_first_line_is_a_bad_row_and_hides_no_others(tmp_path):
    rows = [b'["no object"]', webdancer.to_row(conversation())]
    read = read_file(write_lines(tmp_path / "rows.jsonl", rows), Form.WEBDANCER)
    assert (read.lines, read.problems) == ([2], {"not_an_object": 1})
    cut = tmp_path / "cut.json"
    cut.write_bytes(b"[\n" + json.dumps(webdancer.to_row(conversation())).encode() + b",\n")
    assert read_file(cut, Form.WEBDANCER).problems == {"not_json": 1}


def test_fields_of_others_are_no_stumbling_block_to_webdancer_s():
    each = replace(conversation(), tools="no JSON", rest={"answer": 5, "score": 1})
    lost = losses_of(each, through("webdancer", each))
    assert [(loss.kind, loss.detail) for loss in lost] == [(LossKind.FIELDS, "tools, answer")]


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    def rows():
        yield conversation()
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_file(rows(), tmp_path / "c.jsonl", Form.TRL_MESSAGES)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_said_in_one_line(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        read_file(tmp_path / "none.jsonl", Form.WEBDANCER)


@pytest.mark.parametrize("form", list(Form))
def test_a_file_s_form_is_known_by_its_first_row(tmp_path, form):
    write_file([conversation()], tmp_path / "file", form)
    assert form_of(tmp_path / "file") is form


def test_a_file_of_no_known_form_is_refused(tmp_path):
    path = write_lines(tmp_path / "rows.jsonl", [b"[", {"prompt": "x"}])
    with pytest.raises(UsageError, match="no row of a known form"):
        form_of(path)
    with pytest.raises(UsageError, match="cannot read"):
        form_of(tmp_path / "none")


@needs_shipped
@pytest.mark.parametrize("form", list(Form))
def test_the_shipped_trajectories_survive_every_form(tmp_path, form):
    shipped = read_file(SHIPPED, Form.WEBDANCER)
    assert (len(shipped.conversations), shipped.bad) == (200, [])
    path = tmp_path / "copy"
    writing = write_file(shipped.conversations, path, form)
    assert (writing.num_written, writing.losses) == (200, [])
    assert read_file(path, form).conversations == shipped.conversations
    if form is Form.WEBDANCER:
        assert path.read_bytes() == SHIPPED.read_bytes()
