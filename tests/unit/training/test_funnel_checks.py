"""Each reason of the funnel by a case made by hand, beside one that passes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conversation_samples import (
    ANSWER,
    FOUND,
    QUESTION,
    SHIPPED,
    URL,
    call,
    closing,
    conversation,
    needs_shipped,
    said,
    turn,
)

from evaluation.judging.marks import Grade, Mark
from training.construction.formats.conversation import ChatTurn
from training.construction.formats.files import Form, read_file
from training.construction.funnel.answer_facts import facts_of
from training.construction.funnel.config import FunnelConfig
from training.construction.funnel.correctness import check_answers
from training.construction.funnel.goal import check_goal
from training.construction.funnel.grounding import check_grounding
from training.construction.funnel.logic import check_logic
from training.construction.funnel.question_kind import QuestionKind, kind_of
from training.construction.funnel.redundancy import check_redundancy
from training.construction.funnel.repetition import check_repetition
from training.construction.funnel.validity import check_form
from training.construction.funnel.verdicts import Outcome, Reason
from training.construction.funnel.wording import first_sentence, words_of

CONFIG = FunnelConfig()
SEARCH = said("I look.", call())
VISIT = {"url": [URL], "goal": "the river"}


def begun(text, **more):
    return conversation(ChatTurn(text, turn().response, **more), closing())


FORMS = [
    (conversation(), None),
    (conversation(turn(), ChatTurn("Seine</answer>", given="<answer>")), None),
    (begun("<think>\nI look for the"), Reason.CUT_OFF),
    (begun(SEARCH.removesuffix("</tool_call>")), Reason.CUT_OFF),
    (begun(SEARCH + "<|im_end|>"), Reason.CONTROL_TOKEN),
    (begun(said(None, call())), Reason.NO_THOUGHT),
    (begun(said(" ", call())), Reason.NO_THOUGHT),
    (begun(said("I know.")), Reason.NO_ACTION),
    (begun(said("I look.", call(), call())), Reason.SEVERAL_ACTIONS),
    (begun(said("I look.", call(), answer="Seine")), Reason.SEVERAL_ACTIONS),
    (begun("Well. " + SEARCH), Reason.TEXT_OUTSIDE),
    (begun(SEARCH.replace("}", "")), Reason.BROKEN_CALL),
    (begun(SEARCH.replace('"name"', '"tool"')), Reason.BROKEN_CALL),
    (begun(said("I look.", call("browse"))), Reason.UNKNOWN_TOOL),
    (begun(said("I look.", call(query=[]))), Reason.BAD_ARGUMENTS),
    (begun(said("I look.", call(query=["a", 3]))), Reason.BAD_ARGUMENTS),
    (begun(said("I look.", call("visit", url=[URL]))), Reason.BAD_ARGUMENTS),
    (begun(said("I look.", call("visit", goal="x"))), Reason.BAD_ARGUMENTS),
    (conversation(turn(), closing(answer=" ")), Reason.EMPTY_ANSWER),
    (begun(said("I know.", answer="Seine")), Reason.EARLY_ANSWER),
    (conversation(turn(), replace(closing(), response="go on")), Reason.EARLY_ANSWER),
    (conversation(turn()), Reason.NO_ANSWER),
    (conversation(closing()), Reason.NO_CALL),
    (conversation(turn(), closing(answer="Action: Final Answer\nSeine")), Reason.FOREIGN_MARK),
    (conversation(turn(), closing(answer="**Final Answer:** Seine")), Reason.FOREIGN_MARK),
]


@pytest.mark.parametrize(("each", "reason"), FORMS)
def test_form(each, reason):
    finding = check_form(each, CONFIG)
    assert finding.reason == reason
    assert finding.outcome is (Outcome.FAIL if reason else Outcome.PASS)


def test_a_conversation_without_calls_may_be_wanted():
    assert check_form(conversation(closing()), FunnelConfig(min_tool_calls=0)).reason is None


ANSWERS = [
    ("Seine", ("Seine",), Outcome.PASS),
    (ANSWER, ("Seine",), Outcome.PASS),
    ("The Seine runs through it, as every source that I could find confirms.", ("seine",),
     Outcome.PASS),
    ("The river that runs through the capital is the **River Seine**.", ("Loire", "Seine"),
     Outcome.PASS),
    ("Loire", ("Seine",), Reason.WRONG),
    ("I don't know", ("Seine",), Reason.NOT_ATTEMPTED),
    (None, ("Seine",), Reason.NOT_ATTEMPTED),
    ("The river that runs through the capital of France is the **Loire**.", ("Seine",),
     Reason.NOT_SURE),
    ("The river that runs through it is either the **Seine or the Marne**, it seems.",
     ("Seine",), Reason.NOT_SURE),
    ("It is not the Seine that runs through it but another river, as it seems to me.",
     ("Seine",), Reason.NOT_SURE),
    ("The river is the **Marne**. The **Seine** was found by nobody in the sources, alas.",
     ("Seine",), Reason.NOT_SURE),
    ("Yes, it runs through the capital, as all of the pages that were found say.", ("Yes",),
     Outcome.PASS),
    ("No, it runs nowhere near the capital, as all of the pages that were found say.",
     ("Yes.",), Reason.WRONG),
    ("All of the pages that were found say that it runs through the capital.", ("Yes",),
     Reason.NOT_SURE),
    ("According to the page, the river has a length of **777 km** in all its course.",
     ("777 km",), Outcome.PASS),
    ("According to the page, the river has seven bridges within the city itself.", ("7",),
     Outcome.PASS),
    ("According to the page, the river has a length of **774 km** in all its course.",
     ("777",), Reason.WRONG),
    ("According to the page, it is 777 or perhaps 774 km long in all its course.", ("777",),
     Reason.NOT_SURE),
    ("The river that runs through the capital is the **Seine**.", (), Reason.NO_GOLD),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "golds", "wanted"), ANSWERS)
def test_answer(answer, golds, wanted):
    last = closing(answer=answer) if answer else turn()
    [finding] = check_answers([conversation(turn(), last, answers=golds)], CONFIG, None)
    assert wanted in (finding.outcome, finding.reason)
    if isinstance(wanted, Reason):
        clear = wanted in (Reason.WRONG, Reason.NOT_ATTEMPTED)
        assert finding.outcome is (Outcome.FAIL if clear else Outcome.UNCLEAR)


def test_an_answer_that_the_question_names_is_not_taken_for_said():
    each = conversation(
        turn(),
        closing(answer="The longer one of the two rivers is Seine, going by the pages found."),
        question="Which is longer, Seine or Loire?",
        answers=("Seine",),
    )
    [finding] = check_answers([each], CONFIG, None)
    assert finding.reason is Reason.NOT_SURE


class Judge:
    """Says what a test wrote down, and remembers what it was asked."""

    identity = "fake"

    def __init__(self, *grades):
        self.grades, self.asked = list(grades), []

    def mark(self, items):
        self.asked += [item.predicted for item in items]
        return [Mark(self.grades.pop(0), "so it says", self.identity) for _ in items]

    def close(self):
        pass


def test_the_judge_is_asked_only_where_rules_cannot_tell():
    hard = "The river that runs through the capital of France is the **Sequana**."
    answers = [ANSWER, "Loire", hard, hard + " Yes.", hard + " No.", hard + " Hm."]
    cases = [conversation(turn(), closing(answer=answer)) for answer in answers]
    cases.append(conversation(turn(), closing(answer=hard), answers=()))
    judge = Judge(Grade.CORRECT, Grade.INCORRECT, Grade.NOT_ATTEMPTED, Grade.UNJUDGED)
    findings = check_answers(cases, CONFIG, judge)
    assert judge.asked == answers[2:]
    assert [finding.reason for finding in findings] == [
        None, Reason.WRONG, None, Reason.WRONG, Reason.NOT_ATTEMPTED, Reason.UNJUDGED,
        Reason.NO_GOLD,
    ]  # fmt: skip
    assert findings[5].outcome is Outcome.UNCLEAR
    assert [finding.judge for finding in findings[:3]] == ["rules", "rules", "fake"]


LINE = "the river that runs through the capital is the long Seine"


@pytest.mark.parametrize(("times", "reason"), [(4, None), (5, Reason.REPEATED_NGRAM)])
def test_repetition(times, reason):
    thoughts = [f"{LINE}, I think {number}." for number in range(times)]
    half = times // 2
    each = conversation(turn(" ".join(thoughts[:half])), closing(" ".join(thoughts[half:])))
    assert check_repetition(each, CONFIG).reason == reason


def test_repetition_leaves_calls_and_observations_alone():
    each = conversation(turn("I look.", call(query=[LINE] * 9), seen=LINE * 9), closing())
    assert check_repetition(each, CONFIG).reason is None


def asked(*queries):
    return turn("I look.", call(query=list(queries)))


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ((asked("river of Paris", "capital of France"), asked("length of the Seine")), None),
        ((asked("river of Paris"), asked("River of  Paris?")), Reason.REPEATED_CALL),
        ((asked("river of Paris", "river of Paris"),), Reason.REPEATED_CALL),
        ((turn("I read.", call("visit", **VISIT)), turn("I read.", call("visit", **VISIT))),
         Reason.REPEATED_CALL),
        # A batch of complementary queries is what the tool asks for.
        ((asked("long river of Paris city", "river of the long Paris city now"),), None),
        ((asked("long river of Paris city"), asked("river long Paris city")), None),
        ((asked("long river of Paris city"), asked("river long Paris city", "city Paris long "
          "river now")), Reason.SIMILAR_CALL),
    ],
)  # fmt: skip
def test_redundancy(turns, reason):
    assert check_redundancy(conversation(*turns, closing()), CONFIG).reason == reason


def test_near_equal_queries_may_be_let_be():
    each = conversation(asked("a b c d e f"), asked("b a c d e f", "c b a d e f"), closing())
    assert check_redundancy(each, CONFIG).reason is Reason.SIMILAR_CALL
    assert check_redundancy(each, FunnelConfig(similar_call=None)).reason is None


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Does the Seine run through Paris, which is a city?", QuestionKind.YES_NO),
        ("Considering its length, is it possible to swim it?", QuestionKind.YES_NO),
        ("How many bridges has it?", QuestionKind.COUNT),
        ("What is the number of bridges?", QuestionKind.COUNT),
        ("In which year did it freeze?", QuestionKind.YEAR),
        ("Who named it?", QuestionKind.PERSON),
        ("It is long. Can you name this river?", QuestionKind.OTHER),
        ("Which river, known as Sequana, is it?", QuestionKind.OTHER),
    ],
)
def test_kinds_of_questions(question, kind):
    assert kind_of(question) is kind


@pytest.mark.parametrize(
    ("question", "answer", "wanted"),
    [
        (QUESTION, ANSWER, (Outcome.PASS, None)),
        (QUESTION, "I don't know", (Outcome.FAIL, Reason.GIVES_UP)),
        (QUESTION, "The sources could not be found.", (Outcome.UNCLEAR, Reason.GIVES_UP)),
        ("Is it long?", "It has 777 km.", (Outcome.UNCLEAR, Reason.OTHER_KIND)),
        ("Is it long?", "**Yes**, it has 777 km.", (Outcome.PASS, None)),
        ("How many bridges has it?", "It has several.", (Outcome.FAIL, Reason.OTHER_KIND)),
        ("How many bridges has it?", "Some. 37 in all.", (Outcome.UNCLEAR, Reason.OTHER_KIND)),
        ("How many bridges has it?", "It has seven bridges.", (Outcome.PASS, None)),
        ("In which year did it freeze?", "In winter.", (Outcome.FAIL, Reason.OTHER_KIND)),
        ("In which year did it freeze?", "It froze in 1795.", (Outcome.PASS, None)),
        ("Who named it?", "some people of old, long before anybody could write it down at all",
         (Outcome.UNCLEAR, Reason.OTHER_KIND)),
    ],
)  # fmt: skip
def test_goal(question, answer, wanted):
    finding = check_goal(conversation(turn(), closing(answer=answer), question=question))
    assert (finding.outcome, finding.reason) == wanted


@pytest.mark.parametrize(
    ("seen", "answer", "wanted"),
    [
        (FOUND, ANSWER, (Outcome.PASS, None)),
        (" \n", ANSWER, (Outcome.FAIL, Reason.NOTHING_SEEN)),
        ("Nothing found.", ANSWER, (Outcome.FAIL, Reason.ANSWER_NOT_SEEN)),
        ("Many a river is long.", "It is the **River Seine**, which is found in the north.",
         (Outcome.UNCLEAR, Reason.ANSWER_NOT_SEEN)),
        (FOUND, "It is the **Seine**. It was named by Julius Caesar in 52, says Livy, in Rome.",
         (Outcome.FAIL, Reason.FACTS_NOT_SEEN)),
        (FOUND, "It is the **Seine**, says Livy.", (Outcome.PASS, None)),
        (FOUND, "yes, it runs through the capital, as the pages that were found do say",
         (Outcome.UNCLEAR, Reason.NOTHING_TO_LOOK_FOR)),
        # Close together, in any order.
        ("Alan Mathison Turing, of London", "It was named after a man called **Turing Alan**.",
         (Outcome.PASS, None)),
    ],
)  # fmt: skip
def test_grounding(seen, answer, wanted):
    finding = check_grounding(conversation(turn(seen=seen), closing(answer=answer)), CONFIG)
    assert (finding.outcome, finding.reason) == wanted


def test_grounding_says_where_the_evidence_stands():
    finding = check_grounding(conversation(turn(seen="Nothing."), turn(), closing()), CONFIG)
    assert "Seine at word 10 of turn 1" in finding.detail


def test_what_is_reckoned_need_not_stand_anywhere():
    each = conversation(
        turn(seen="121 medals and 70 medals"),
        closing(answer="51"),
        question="How many more medals?",
    )
    assert check_grounding(each, CONFIG).outcome is Outcome.UNCLEAR


def visiting(url):
    return turn("I read it.", call("visit", url=[url], goal="the river"))


@pytest.mark.parametrize(
    ("turns", "wanted"),
    [
        ((turn(), closing()), (Outcome.PASS, None)),
        ((visiting(URL), closing()), (Outcome.FAIL, Reason.UNSEEN_ADDRESS)),
        ((turn(seen=f"{FOUND} {URL}/"), visiting(f"{URL}/"), closing()), (Outcome.PASS, None)),
        ((turn(), closing("All pages agree.")), (Outcome.FAIL, Reason.NOT_CONCLUDED)),
        ((turn(), closing("It is the Seine. No direct evidence of its name came up.")),
         (Outcome.UNCLEAR, Reason.DOUBTED)),
        ((turn(), closing("The results don't mention any other river. So the Seine.")),
         (Outcome.PASS, None)),
        ((turn(), closing("So the answer is no.", "Yes, it runs through it, as pages say.")),
         (Outcome.FAIL, Reason.AGAINST_THOUGHT)),
        ((turn(), closing("So the answer is yes.", "Yes, it runs through it, as pages say.")),
         (Outcome.PASS, None)),
        ((turn("The search results show the Seine."), closing()),
         (Outcome.UNCLEAR, Reason.CLAIMS_UNSEEN)),
        ((turn("Suppose that the search results show the Seine. Then I know."), closing()),
         (Outcome.PASS, None)),
    ],
)  # fmt: skip
def test_logic(turns, wanted):
    finding = check_logic(conversation(*turns))
    assert (finding.outcome, finding.reason) == wanted


def test_an_address_in_the_question_may_be_visited():
    each = conversation(visiting(URL), closing(), question=f"Which river does {URL} name?")
    assert check_logic(each).reason is None


def test_words_and_sentences():
    assert words_of("The *River* of 1,234 km: É. Dupont's") == (
        "the", "river", "of", "1234", "km", "e", "dupont",
    )  # fmt: skip
    assert first_sentence("It was St. Denis, J. K. Smith says. Or not.") == (
        "It was St. Denis, J. K. Smith says"
    )
    facts = facts_of("The river is the **Seine**, in Northern France, 777 km.", QUESTION)
    assert facts.key == "Seine"
    assert "777" in facts.others
    assert "France" not in facts.others


@needs_shipped
def test_the_shipped_trajectories_have_no_false_verdict_of_the_rules():
    """All 127 that the rules call right, and the 3 that they call wrong, were read by hand."""
    shipped = read_file(SHIPPED, Form.WEBDANCER).conversations
    findings = check_answers(shipped, CONFIG, None)
    wrong = [at for at, finding in enumerate(findings) if finding.outcome is Outcome.FAIL]
    assert wrong == [142, 153, 154]
    assert sum(finding.outcome is Outcome.PASS for finding in findings) == 127
