"""A chain that could mean more than one thing, or has a short cut, is no question."""

import pytest

from agents.web.facts.builder import FactBuilder
from evaluation.questions.chains import Chain, Clue, Solver
from evaluation.questions.sampling import gives_away
from evaluation.questions.splits import Splits
from evaluation.questions.templates import OPENINGS, QUESTIONS, STEPS, name_in_text


def build(extra=None):
    builder = FactBuilder()
    for key in ("Fran", "Ital", "Swis", "Aust"):
        builder.add_entity("country", key, f"{key}land")
    for key in ("Euro", "Franc"):
        builder.add_entity("currency", key, key, (key[:3].upper(),))
    for key in ("Lyon", "Rome", "Bern"):
        builder.add_entity("city", key, key)
    builder.link("country:Fran", "currency", "currency:Euro")
    builder.link("country:Ital", "currency", "currency:Euro")
    builder.link("country:Aust", "currency", "currency:Euro")
    builder.link("country:Swis", "currency", "currency:Franc")
    builder.link("country:Swis", "capital", "city:Bern")
    builder.link("country:Ital", "capital", "city:Rome")
    builder.link("city:Lyon", "country", "country:Fran")
    builder.link("city:Rome", "country", "country:Ital")
    for one, other in (("Swis", "Fran"), ("Swis", "Ital"), ("Fran", "Ital"), ("Aust", "Ital")):
        builder.link(f"country:{one}", "neighbour", f"country:{other}")
        builder.link(f"country:{other}", "neighbour", f"country:{one}")
    if extra is not None:
        extra(builder)
    return builder.build()


def chain(graph, clues, *path, opening="city"):
    resolved = tuple(Clue(graph.entities[entity], relation) for entity, relation in clues)
    return Chain("family", opening, resolved, path)


def test_a_plain_chain():
    graph = build()
    question = chain(graph, [("city:Lyon", "")], "country", "currency")
    solution = Solver(graph).solve(question)
    assert solution is not None
    assert solution.answers == ("Euro", "EUR")
    assert [(h.subject, h.relation, h.value) for h in solution.hops] == [
        ("Lyon (city)", "country", "Franland"),
        ("Franland (country)", "currency", "Euro"),
    ]
    assert solution.hops[0].url == graph.entities["city:Lyon"].url
    assert solution.touched == {"city:Lyon", "country:Fran", "currency:Euro"}
    assert question.num_hops == 2


def test_a_second_fact_of_the_relation_makes_two_right_answers():
    graph = build(lambda b: b.link("country:Fran", "currency", "currency:Franc"))
    question = chain(graph, [("city:Lyon", "")], "country", "currency")
    assert Solver(graph).solve(question) is None


def test_a_namesake_makes_the_question_ambiguous():
    graph = build(lambda b: b.add_entity("city", "2", "Lyon", title="Lyon, Italland"))
    assert Solver(graph).solve(chain(graph, [("city:Lyon", "")], "country", "currency")) is None
    graph = build(lambda b: b.add_entity("city", "2", "Lugdunum", ("lyón",)))
    assert Solver(graph).solve(chain(graph, [("city:Lyon", "")], "country", "currency")) is None


def test_a_description_must_fit_one_country_alone():
    graph = build()
    solver = Solver(graph)
    assert solver.solve(chain(graph, [("currency:Euro", "used_in")], "capital")) is None
    solution = solver.solve(chain(graph, [("currency:Franc", "used_in")], "capital"))
    assert solution is not None
    assert solution.answers == ("Bern",)


def test_two_clues_together_identify_what_neither_does_alone():
    graph = build()
    solver = Solver(graph)
    clues = [("country:Aust", "neighbour"), ("currency:Euro", "used_in")]
    question = chain(graph, clues, "capital")
    solution = solver.solve(question)
    assert solution is not None
    assert solution.answers == ("Rome",)
    assert [hop.value for hop in solution.hops] == ["Italland", "Italland", "Rome"]
    assert question.num_hops == 3
    both = [("country:Swis", "neighbour"), ("currency:Euro", "used_in")]
    assert solver.solve(chain(graph, both, "capital")) is None


def test_chains_that_return_to_a_page_or_repeat_their_answer_are_refused():
    graph = build()
    round_trip = chain(graph, [("city:Rome", "")], "country", "capital", "country")
    assert Solver(graph).solve(round_trip) is None
    echo = chain(graph, [("city:Rome", "capital_of")], "capital", "country")
    assert Solver(graph).solve(echo) is None


def test_a_missing_fact_or_a_plain_value_on_the_way_ends_the_chain():
    graph = build(lambda b: b.add_value("country:Fran", "population", "5"))
    solver = Solver(graph)
    assert solver.solve(chain(graph, [("city:Lyon", "")], "country", "capital")) is None
    through = chain(graph, [("city:Lyon", "")], "country", "population", "currency")
    assert solver.solve(through) is None


def test_words_that_hold_an_answer_give_it_away():
    graph = build()
    solution = Solver(graph).solve(chain(graph, [("city:Lyon", "")], "country", "currency"))
    assert not gives_away("What is the currency of the country where Lyon is?", solution)
    assert gives_away("Which coin is used in Lyon, Franland?", solution)
    assert gives_away("What, if not the EUR, is used in Lyon?", solution)
    assert not gives_away("Is it used in Europe and in Franlands?", solution)


def test_parts_keep_a_capital_and_a_sole_currency_with_their_country():
    graph = build()
    splits = Splits(graph)
    assert splits.part_of("city:Bern") == splits.part_of("country:Swis")
    assert splits.part_of("currency:Franc") == splits.part_of("country:Swis")
    assert splits.part_of("currency:Euro") == "train"


def test_parts_are_fixed_and_of_the_declared_size():
    builder = FactBuilder()
    for number in range(3_000):
        builder.add_entity("city", str(number), f"Town {number}")
    graph = builder.build()
    splits = Splits(graph)
    shares = {
        part: len(splits.members("city", part)) / 3_000 for part in ("train", "gate", "held_out")
    }
    assert shares["held_out"] == pytest.approx(0.22, abs=0.03)
    assert shares["gate"] == pytest.approx(0.06, abs=0.02)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert [splits.part_of(f"city:{n}") for n in range(8)] == [
        Splits(graph).part_of(f"city:{n}") for n in range(8)
    ]


def test_every_relation_has_several_wordings_with_their_blanks():
    for templates in (*STEPS.values(), *QUESTIONS.values()):
        assert len(set(templates)) >= 2
        assert all(template.count("{x}") == 1 for template in templates)
    for opening, templates in OPENINGS.items():
        assert all("{0}" in template for template in templates)
        assert all(
            ("{1}" in template) == opening.startswith("neighbour_") for template in templates
        )
    assert all(template.endswith("?") for ts in QUESTIONS.values() for template in ts)


def test_names_read_naturally_inside_a_sentence():
    builder = FactBuilder()
    for kind, name in (
        ("country", "United States"),
        ("currency", "Yen"),
        ("currency", "Swiss franc"),
        ("city", "Lyon"),
    ):
        builder.add_entity(kind, name, name)
    named = [name_in_text(entity) for entity in builder.build().entities.values()]
    assert named == ["the United States", "yen", "Swiss franc", "Lyon"]
