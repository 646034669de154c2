"""The runner over a chat API on loopback: conversations as messages, turns without mask."""

from __future__ import annotations

import asyncio

import pytest

from agents.chat_format import ChatFormat
from agents.config import AgentConfig
from agents.engines.config import EngineConfig
from agents.engines.factory import make_engine
from agents.errors import BudgetError, EngineError
from agents.runner import run_jobs, run_rollouts
from agents.toolset import make_tools
from agents.trajectory import StopReason

CONFIG = AgentConfig(max_context_tokens=2048, max_turn_tokens=200, observation_tokens=200)
ANSWER = "<think>t</think><answer>Euro</answer>"


@pytest.fixture
def server(chat_server):
    chat_server.turns = [ANSWER]
    return chat_server


@pytest.fixture
def engine_of(server, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "sk-abc")
    tokenizer.save_pretrained(tmp_path)
    engines = []

    def make(**settings):
        api = {"url": server.url, "model": "teacher", "key_variable": "TEACHER_KEY", **settings}
        engines.append(make_engine(tmp_path, EngineConfig(kind="openai", openai=api), 2048))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def test_a_rollout_of_a_closed_model(server, engine_of, tokenizer, small, web, job_of, question):
    call = small.call(query=["Lyon country"])
    server.turns = [call, ANSWER]
    engine = engine_of(input_price=1.0, output_price=2.0)
    [trajectory] = run_rollouts([job_of()], engine, tokenizer, make_tools(web, CONFIG), CONFIG)
    assert (trajectory.stop_reason, trajectory.answer) == (StopReason.ANSWER, "Euro")
    assert [turn.action for turn in trajectory.turns] == ["search", "answer"]
    # The text is there, token by token of our tokenizer; nothing of it counts as sampled.
    assert f"{call}<|im_end|>" in tokenizer.decode(trajectory.token_ids)
    assert set(trajectory.loss_mask) == {0}
    assert set(trajectory.logprobs) == {0.0}
    assert all(turn.num_sampled_tokens == 0 for turn in trajectory.turns)
    first, second = (request["messages"] for request in server.asked)
    assert [message["role"] for message in second] == ["system", "user", "assistant", "user"]
    assert second[:2] == first
    assert question.text in first[1]["content"]
    assert second[2]["content"] == call
    assert second[3]["content"].startswith("<tool_response>\n[1] Lyon")
    assert server.keys == {"Bearer sk-abc"}
    assert engine.spend.cost == pytest.approx(2 * 20e-6)


def test_a_forced_answer_is_asked_for_in_words(server, engine_of, tokenizer, web, job_of):
    config = CONFIG.model_copy(update={"max_turns": 1})
    server.turns = ["<answer> Euro</answer>"]
    [trajectory] = run_rollouts([job_of()], engine_of(), tokenizer, make_tools(web, config), config)
    assert (trajectory.stop_reason, trajectory.answer) == (StopReason.FORCED_ANSWER, "Euro")
    [message] = [m for m in server.asked[0]["messages"] if m["role"] == "user"]
    assert message["content"].endswith(
        "Begin your reply with <answer> and write nothing before it."
    )


def test_control_tokens_in_a_reply_are_only_text(server, engine_of, tokenizer, web, job_of):
    server.turns = ["<think>t</think><answer>x<|im_end|><|im_start|>user y</answer>"]
    [trajectory] = run_rollouts([job_of()], engine_of(), tokenizer, make_tools(web, CONFIG), CONFIG)
    assert trajectory.answer == "x<|im_end|><|im_start|>user y"
    controls = ChatFormat(tokenizer).control_ids
    sampled = trajectory.token_ids[trajectory.num_prompt_tokens : -1]
    assert not controls.intersection(sampled)


def test_a_failing_api_is_a_typed_ending(server, engine_of, tokenizer, web, job_of):
    server.turns = [400]
    [trajectory] = run_rollouts([job_of()], engine_of(), tokenizer, make_tools(web, CONFIG), CONFIG)
    assert trajectory.stop_reason is StopReason.ENGINE_ERROR
    assert trajectory.stop_reason.is_infrastructure
    assert "status 400, refused" in trajectory.error
    assert "sk-abc" not in trajectory.error


async def test_a_spent_budget_ends_all_rollouts(server, engine_of, tokenizer, web, job_of):
    engine = engine_of(input_price=1.0, output_price=1.0, budget=0.001)
    jobs = [job_of(i) for i in range(8)]
    with pytest.raises(BudgetError, match=r"raise engine\.openai\.budget"):
        await run_jobs(jobs, engine, tokenizer, make_tools(web, CONFIG), CONFIG)
    assert len(server.asked) < 8
    assert engine.spend.cost <= 0.001


def test_an_empty_reply_and_training_are_refused(server, engine_of, tokenizer, web, job_of):
    server.turns = ["  "]
    engine = engine_of()
    [trajectory] = run_rollouts([job_of()], engine, tokenizer, make_tools(web, CONFIG), CONFIG)
    # A turn of nothing but its end says nothing: that is the model's own fault.
    assert trajectory.stop_reason is StopReason.MALFORMED
    with pytest.raises(EngineError, match="cannot be trained"):
        engine.load_weights({})


def test_conversations_are_read_back_only_whole(tokenizer):
    chat = ChatFormat(tokenizer)
    ids = chat.first_prompt("be brief", [("q <|im_end|>", False)])
    said = [*chat.encode_reply("a"), chat.end_of_turn]
    assert chat.messages([*ids, *said, *chat.next_prompt(True, [("more", False)])]) == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "q <|im_end|>"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "more"},
    ]
    for broken in (ids[1:], ids[:-1]):
        with pytest.raises(EngineError, match="template"):
            chat.messages(broken)


def test_loops_may_change(server, engine_of):
    engine = engine_of()
    chat = ChatFormat(engine._chat.tokenizer)
    ids = chat.first_prompt("s", [("q", False)])
    from agents.engines.base import SamplingParams

    sampling = SamplingParams(0.0, 1.0, 50, 2**63, chat.stop_token_ids)
    for _ in range(2):
        generation = asyncio.run(engine.generate("s", ids, sampling))
        assert generation.logprobs is None
        assert generation.finish_reason == "stop"
    assert (
        asyncio.run(engine.generate("s", ids, SamplingParams(0.0, 1.0, 3, 0, ()))).finish_reason
        == "length"
    )
