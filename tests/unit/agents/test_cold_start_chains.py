"""Cold-start trajectories: the known chain, told through the runner of all rollouts."""

from __future__ import annotations

import dataclasses

import pytest

from agents.config import AgentConfig
from agents.engines.scripted import ScriptedEngine
from agents.errors import StageError
from agents.protocol import parse_turn
from agents.runner import run_rollouts
from agents.toolset import make_tools
from agents.trajectory import Hop, StopReason
from training.construction.chain_script import ChainScript
from training.construction.chains import build_cold_start
from training.construction.config import ColdStartConfig

CONFIG = AgentConfig(max_context_tokens=4096, max_turn_tokens=300, observation_tokens=400)


@pytest.fixture
def build(web, tokenizer):
    def run(questions, rate=0.0, seed=3, config=CONFIG, count=9, **keywords):
        tools = make_tools(web, config)
        cold_start = ColdStartConfig(num_questions=count, visit_rate=rate)
        return build_cold_start(questions, tools, tokenizer, config, cold_start, seed, **keywords)

    return run


def copies(question, number):
    return [dataclasses.replace(question, question_id=f"q{i}") for i in range(number)]


def test_a_chain_is_followed_search_by_search(build, question, web):
    [trajectory] = build([question])
    assert trajectory.stop_reason is StopReason.ANSWER
    assert (trajectory.answer, trajectory.format_ok) == ("Euro", True)
    assert [turn.action for turn in trajectory.turns] == ["search", "search", "answer"]
    assert web.queries == ["Lyon country", "France currency"]
    assert (trajectory.source, trajectory.policy, trajectory.temperature) == (
        "construction",
        "construction",
        0.0,
    )
    assert not any(trajectory.logprobs)
    assert sum(trajectory.loss_mask) == sum(t.num_sampled_tokens for t in trajectory.turns)


def test_a_fact_that_the_results_do_not_show_is_read_on_its_page(build, question, web):
    hop = Hop("Lyon (city)", "population", "522,250", "http://wiki.local/Lyon_(city)")
    asked = dataclasses.replace(question, chain=(hop,), answers=("522,250",))
    [trajectory] = build([asked])
    assert [turn.action for turn in trajectory.turns] == ["search", "visit", "answer"]
    assert '"goal": "population"' in trajectory.turns[1].arguments
    assert "522,250" in trajectory.turns[1].observation


def test_pages_are_visited_at_the_configured_rate(build, question):
    def visits(rate):
        return sum(
            turn.action == "visit"
            for trajectory in build(copies(question, 30), rate, count=30)
            for turn in trajectory.turns
        )

    assert visits(0.0) == 0
    assert visits(1.0) == 60
    assert 0 < visits(0.3) < 40


def test_what_the_tools_do_not_show_is_not_claimed(build, question):
    wrong = Hop("Lyon (city)", "country", "Spain", "http://wiki.local/Lyon_(city)")
    unknown = Hop("Atlantis (city)", "country", "France", "http://wiki.local/Atlantis_(city)")
    # `522` and `22,250` stand within another number only.
    part = Hop("Lyon (city)", "population", "22,250", "http://wiki.local/Lyon_(city)")
    begin = Hop("Lyon (city)", "population", "522", "http://wiki.local/Lyon_(city)")
    chains = [(wrong, question.chain[1]), (unknown, question.chain[1]), (part,), (begin,)]
    false = [
        dataclasses.replace(question, question_id=f"false{i}", chain=chain)
        for i, chain in enumerate(chains)
    ]
    [kept] = build([*false, question])
    assert kept.question_id == question.question_id
    with pytest.raises(StageError, match="none of 4 chains"):
        build(false)


def test_another_pages_value_does_not_count(build, question, web, small):
    """The results show `Euro`, but on a page that is not the one of the fact."""
    web.pages.insert(0, small.page("Berlin (city)", "Berlin has parks."))
    web.pages.insert(0, small.page("Berlin notes", "Paid in Euro."))
    hop = Hop("Berlin (city)", "currency", "Euro", "http://wiki.local/Berlin_(city)")
    with pytest.raises(StageError):
        build([dataclasses.replace(question, chain=(hop,))])


def test_two_clues_are_taken_together_before_anything_is_claimed(build, question, web, small):
    web.pages += [
        small.page("Chad (country)", "Chad borders Niger, Nigeria and Sudan."),
        small.page("English (language)", "English is the language of Nigeria and Ghana."),
        small.page("Nigeria (country)", "The capital of Nigeria is Abuja."),
    ]
    chain = (
        Hop("Chad (country)", "neighbour", "Nigeria", "http://wiki.local/Chad_(country)"),
        Hop("English (language)", "spoken_in", "Nigeria", "http://wiki.local/English_(language)"),
        Hop("Nigeria (country)", "capital", "Abuja", "http://wiki.local/Nigeria_(country)"),
    )
    [trajectory] = build([dataclasses.replace(question, chain=chain, answers=("Abuja",))])
    thoughts = [turn.thought for turn in trajectory.turns]
    assert "Nigeria" not in thoughts[1]
    assert "Nigeria" in thoughts[2]
    assert web.queries[:2] == ["Chad neighbour", "English country"]


def test_same_seed_same_trajectories_whatever_the_order(build, question):
    def told(questions, seed):
        return {t.question_id: t.token_ids for t in build(questions, 0.5, seed, count=12)}

    questions = copies(question, 12)
    assert told(questions, 3) == told(questions[::-1], 3)
    assert told(questions, 3) != told(questions, 4)


def test_families_take_turns(build, question):
    many = copies(question, 20)
    rare = dataclasses.replace(question, question_id="rare", family="rare")
    kept = build([*many, rare], count=2)
    assert "rare" in {t.question_id for t in kept}


def test_no_more_than_asked_for_and_each_is_reported(build, question):
    seen = []
    kept = build(copies(question, 20), count=7, on_finished=seen.append)
    assert len(kept) == 7
    assert sorted(t.trajectory_id for t in seen) == sorted(t.trajectory_id for t in kept)


def test_what_an_earlier_start_kept_is_not_built_again(build, question):
    whole = build(copies(question, 20), count=7)
    before = {t.trajectory_id: dataclasses.replace(t, wall_s=1e6) for t in whole[2:5]}
    seen = []
    again = build(copies(question, 20), count=7, on_finished=seen.append, finished=before)
    assert [t.trajectory_id for t in again] == [t.trajectory_id for t in whole]
    assert {t.trajectory_id for t in seen} == {t.trajectory_id for t in whole} - set(before)
    assert [t for t in again if t.trajectory_id in before] == list(before.values())


def test_held_out_questions_are_refused(build, question):
    with pytest.raises(ValueError, match="held out"):
        build([question, dataclasses.replace(question, question_id="h", split="city_country")])


def test_questions_without_a_chain_are_left_out(build, question):
    bare = dataclasses.replace(question, question_id="bare", chain=())
    assert [t.question_id for t in build([bare, question])] == ["q1"]


def test_forced_answers_are_not_kept(build, question):
    config = CONFIG.model_copy(update={"max_turns": 2})
    with pytest.raises(StageError):
        build([question], config=config)


def test_every_said_turn_is_strictly_well_formed(question):
    for seed in range(40):
        script = ChainScript(question, seed, 0.0)
        shown = ["", "[1] Lyon (city)\nin France.", "[1] France (country)\nEuro."]
        kinds = [parse_turn(script(text), ("search", "visit")).kind for text in shown]
        assert kinds == ["call", "call", "answer"]
        assert not script.failed
    assert ChainScript(question, 0, 0.0)("…<answer>") == "Euro</answer>"


def test_a_session_without_script_is_an_engine_error(tokenizer, web, job_of):
    engine = ScriptedEngine({}, tokenizer, 4096)
    [trajectory] = run_rollouts([job_of()], engine, tokenizer, make_tools(web, CONFIG), CONFIG)
    assert trajectory.stop_reason is StopReason.ENGINE_ERROR
    assert "no script" in trajectory.error


def test_scripted_turns_meet_the_limits_of_any_engine(tokenizer, web, job_of):
    job = job_of()
    scripts = {job.trajectory_id: lambda shown: "<think>long</think>" * 100}
    tools = make_tools(web, CONFIG)
    [cut] = run_rollouts([job], ScriptedEngine(scripts, tokenizer, 4096), tokenizer, tools, CONFIG)
    assert cut.stop_reason is StopReason.MALFORMED
    assert cut.turns[0].num_sampled_tokens == CONFIG.max_turn_tokens
