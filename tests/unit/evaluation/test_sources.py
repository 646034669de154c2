"""Sets of questions from elsewhere: every form is read whole, or refused with the row's place."""

import base64
import csv
import hashlib
import json
from itertools import cycle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shared_data import SHARED_DATA

from agents.errors import UsageError
from evaluation.sources.flaws import find_flaws
from evaluation.sources.load import check_source, read_questions
from evaluation.sources.names import benchmark_name

SHARED = SHARED_DATA / "benchmarks"


def write(path, rows):
    """Writes rows in the form that the path's ending names."""
    match path.suffix:
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        case ".json":
            path.write_text(json.dumps(rows), encoding="utf-8")
        case ".csv" | ".tsv":
            with path.open("w", newline="", encoding="utf-8") as file:
                delimiter = "," if path.suffix == ".csv" else "\t"
                writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
                writer.writeheader()
                writer.writerows(rows)
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def only(source, name=""):
    (question,) = read_questions(source, name).questions
    return question


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_every_form_of_file_gives_the_same_questions(tmp_path, suffix):
    rows = [
        {"question": "Who wrote “Émile”?\u2028", "answer": "Rousseau", "id": "a", "hops": "2"},
        {"question": 'Which, "if any", is it?', "answer": "one, or\ntwo", "id": "b", "hops": ""},
    ]
    first, second = read_questions(write(tmp_path / f"mine{suffix}", rows)).questions
    assert (first.question_id, first.text) == ("mine-a", "Who wrote “Émile”?")
    assert (first.answers, first.num_hops, first.split) == (("Rousseau",), 2, "mine")
    assert (second.text, second.answers) == ('Which, "if any", is it?', ("one, or\ntwo",))
    assert second.num_hops == 0


@pytest.mark.parametrize(
    ("cell", "answers"),
    [
        ("a<|answer_split|>b<|answer_split|>a", ("a", "b")),
        ('["a", "b", 3]', ("a", "b", "3")),
        ("[sic] a", ("[sic] a",)),
        (["a", "b"], ("a", "b")),
        ({"text": ["a", "b"]}, ("a", "b")),
        ({"value": "a", "aliases": ["b"]}, ("a", "b")),
        (1911, ("1911",)),
        (3.0, ("3",)),
        (2.5, ("2.5",)),
        (True, ("yes",)),
        ("None", ("None",)),
    ],
)
def test_right_answers_are_read_however_they_are_written(tmp_path, cell, answers):
    row = {"question": "?!", "answers": cell}
    assert only(write(tmp_path / "q.jsonl", [row])).answers == answers


def test_columns_may_be_called_as_others_call_them(tmp_path):
    row = {
        "Query": "Who?",
        "golden_answers": ["Ada"],
        "aliases": ["Lovelace"],
        "_id": 7,
        "dataset": "Hotpot_QA",
        "metadata": {"type": "bridge"},
    }
    question = only(write(tmp_path / "q.jsonl", [row]))
    assert question.question_id == "hotpotqa-7"
    assert question.answers == ("Ada", "Lovelace")
    assert (question.family, question.split, question.num_hops) == ("bridge", "hotpotqa", 2)


def test_deepresearchers_form(tmp_path):
    rows = [
        {
            "data_source": source,
            "prompt": [{"content": f"Q {source}?", "role": "user"}],
            "ability": "qa",
            "reward_model": {"ground_truth": "Bloomsburg<|answer_split|>Eyersburg", "style": "x"},
            "extra_info": {"index": f"{source}_{key}", "split": "dev"},
        }
        for source, key in (("tq", "1"), ("Bamboogle", "2"), ("musique", "3hop1__9_8"))
    ]
    read = read_questions(write(tmp_path / "test.parquet", rows)).questions
    assert [question.question_id for question in read] == [
        "triviaqa-1",
        "bamboogle-2",
        "musique-3hop1__9_8",
    ]
    assert [question.num_hops for question in read] == [1, 2, 3]
    assert read[0].text == "Q tq?"
    assert read[0].answers == ("Bloomsburg", "Eyersburg")


def test_gaia_leaves_out_what_needs_a_file_and_says_how_much(tmp_path):
    row = {"task_id": "t1", "Question": "How many?", "Level": "2", "Final answer": "17"}
    rows = [row | {"file_name": ""}, row | {"task_id": "t2", "file_name": "table.xlsx"}]
    read = read_questions(write(tmp_path / "metadata.jsonl", rows))
    (question,) = read.questions
    assert (question.question_id, question.family, question.split) == ("gaia-t1", "level 2", "gaia")
    assert read.left_out == {"gaia": {"comes with a file": 1}}
    hidden = write(tmp_path / "test.jsonl", [row | {"Final answer": "?", "file_name": ""}])
    with pytest.raises(UsageError, match=r"test.jsonl line 1: its right answer is not published"):
        read_questions(hidden)


@pytest.mark.parametrize(
    "row",
    [
        {
            "Question": "When?",
            "answer": "May",
            "type": "multi_source",
            "golden_path": ["root"],
            "root_url": "https://x",
        },
        {
            "question": "When?",
            "answer": "May",
            "info": {"hop": "multi-source", "lang": "en"},
            "root_url": "https://x",
        },
    ],
)
def test_webwalkerqa_of_both_publishers(tmp_path, row):
    question = only(write(tmp_path / "w.json", [row]))
    assert (question.split, question.family) == ("webwalkerqa", "multi_source")


def _encrypted(text, canary):
    key = hashlib.sha256(canary.encode()).digest()
    mixed = bytes(a ^ b for a, b in zip(text.encode(), cycle(key), strict=False))
    return base64.b64encode(mixed).decode()


def test_browsecomp_is_decrypted_and_a_wrong_canary_is_named(tmp_path):
    text = "Which Ångström-long question needs more than thirty-two bytes of key?"
    row = {
        "problem": _encrypted(text, "canary"),
        "answer": _encrypted("Zürich", "canary"),
        "problem_topic": "Science",
        "canary": "canary",
    }
    question = only(write(tmp_path / "b.csv", [row]))
    assert (question.text, question.answers) == (text, ("Zürich",))
    assert (question.split, question.family) == ("browsecomp", "Science")
    for wrong in (row | {"canary": "other"}, row | {"problem": "no base64!"}):
        with pytest.raises(UsageError, match=r"b.csv line 2: its canary does not decrypt it"):
            read_questions(write(tmp_path / "b.csv", [wrong]))


def test_browsecomps_published_cipher():
    # SHA-256 of "abc" (FIPS 180-2's own example) XORed over zeros is the digest itself.
    from evaluation.sources.browsecomp import decrypt

    digest = bytes.fromhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    text = b"hello, world; this text is longer than one key"
    mixed = bytes(a ^ b for a, b in zip(text, digest + digest, strict=False))
    assert decrypt(base64.b64encode(mixed).decode(), "abc") == text.decode()


def test_frames_simpleqa_and_fanoutqa(tmp_path):
    frames = {
        "": "0",
        "Prompt": "If…?",
        "Answer": "Jane Ballou",
        "reasoning_types": "Multiple constraints",
        "wiki_links": "['https://a', 'https://b']",
    }
    question = only(write(tmp_path / "frames.tsv", [frames]))
    assert (question.split, question.num_hops) == ("frames", 2)
    simple = {"metadata": "{'topic': 'Art', 'answer_type': 'Date'}", "problem": "?", "answer": "1"}
    question = only(write(tmp_path / "s.csv", [simple]))
    assert (question.split, question.family, question.num_hops) == ("simpleqa", "Date", 1)
    fan = {"id": "f", "question": "?", "decomposition": [{}, {}], "categories": ["Art"]}
    rows = [fan | {"answer": {"Ann": 3, "Bob": [1, 2]}}, fan | {"id": "g", "answer": ["x", "y"]}]
    first, second = read_questions(write(tmp_path / "f.json", rows)).questions
    assert first.answers == ("Ann: 3; Bob: 1, 2",)
    assert (second.answers, second.num_hops, second.split) == (("x, y",), 2, "fanoutqa")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"question": "?"}], "expected a column for the question .* got question"),
        ([{"text": "?", "answer": "x"}], "got answer, text"),
        ([{"question": "?", "answer": "x"}, {"question": "Who?", "answer": " "}], "line 2: .*Who"),
        ([{"question": "Who?", "answers": []}], "line 1: there is no right answer"),
        ([{"question": "Who?", "answers": ["", None]}], "line 1: there is no right answer"),
        ([{"question": " ", "answers": ["x"]}], "line 1: the question is blank"),
        ([{"question": "?", "answers": [{"a": 1}]}], "line 1: expected a text"),
        ([{"question": "?", "answers": "x", "benchmark": "train"}], "called 'train'"),
        ([{"question": "?", "answers": "x", "hops": "many"}], "line 1: .*many"),
        ([["question"]], "line 1: expected an object"),
    ],
)
def test_a_bad_row_is_named_in_one_line(tmp_path, rows, message):
    source = write(tmp_path / "q.jsonl", rows)
    with pytest.raises(UsageError, match=message) as caught:
        read_questions(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.jsonl", b'{"question": "caf\xe9", "answer": "x"}\n', "line 1: byte 0xe9 is not UTF-8"),
        ("q.csv", b"question,answer\nok,ok\ncaf\xe9,x\n", "line 3: byte 0xe9"),
        ("q.csv", b"question,answer\na,b,c\n", "line 2: more cells than the 2 columns"),
        ("q.csv", b'question,answer\n"a,b\n', "line 2: not CSV"),
        ("q.csv", b"", "holds no question"),
        ("q.jsonl", b"\n\n", "holds no question"),
        ("q.jsonl", b"{\n", "line 1: not JSON"),
        ("q.json", b'[{"question": ', "not JSON"),
        ("q.json", b"[3]", "entry 1: expected an object"),
        ("q.parquet", b"PAR1 nothing PAR1", "not a Parquet file"),
        ("q.xlsx", b"PK", "cannot tell its form"),
    ],
)
def test_a_bad_file_is_told_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_questions(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    (tmp_path / "q.csv").write_bytes(b"\xef\xbb\xbfquestion,answer\r\nWho?,Ada\r\n")
    assert only(str(tmp_path / "q.csv")).answers == ("Ada",)


def test_what_is_nowhere_is_refused_with_the_known_names():
    with pytest.raises(UsageError, match=r"no file nothing.jsonl; .*gaia.*fanoutqa"):
        check_source("nothing.jsonl")
    with pytest.raises(UsageError, match="expected hub:OWNER/NAME"):
        check_source("hub:nothing")
    for source in ("gaia", "hub:gaia", "TQ", "hub:some/set", "hub:some/set/config@test"):
        check_source(source)


def test_duplicates_are_kept_under_ids_of_their_own(tmp_path):
    rows = [
        {"question": "Who directed Pilot?", "answers": ["Ann"], "id": "1"},
        {"question": "who directed  PILOT", "answers": ["Bob"], "id": "2"},
        {"question": "Who else?", "answers": ["Cid"], "id": "2"},
    ]
    read = read_questions(write(tmp_path / "q.jsonl", rows), "mine").questions
    assert [question.question_id for question in read] == ["mine-1", "mine-2", "mine-2~2"]
    assert find_flaws(read).duplicates == ("mine-2",)


def test_flaws_are_found(tmp_path):
    long = "a b c d e f g h i j k"
    rows = [
        {"question": "Long?", "answers": [long], "id": "long"},
        {"question": "Long and short?", "answers": [long, "short"], "id": "both"},
        {"question": "Is it?", "answers": ["Yes"], "id": "yes"},
        {"question": "Blank too?", "answers": ["x", ""], "id": "blank"},
    ]
    read = read_questions(write(tmp_path / "q.jsonl", rows), "mine")
    dev = read_questions(write(tmp_path / "dev.jsonl", [{"question": "is it", "answer": "no"}]))
    flaws = find_flaws(read.questions, dev.questions)
    assert flaws.long_golds == ("mine-long",)
    assert flaws.yes_no == ("mine-yes",)
    assert flaws.in_dev == ("mine-yes",)
    assert flaws.longest_gold_words == 11
    assert read.num_blank == {"mine": 1}


def test_a_file_may_be_called_like_a_split_where_the_split_is_named(tmp_path):
    source = write(tmp_path / "train.jsonl", [{"question": "?!", "answer": "x"}])
    with pytest.raises(UsageError, match="cannot be called 'train'; give the file another name"):
        read_questions(source)
    assert only(source, "train").split == "train"


def test_names_are_one_for_each_benchmark():
    called = ("tq", "TriviaQA", "2WikiMultihopQA", "Bamboogle", "simple-qa", "my set")
    assert [benchmark_name(name) for name in called] == [
        "triviaqa",
        "triviaqa",
        "2wiki",
        "bamboogle",
        "simpleqa",
        "my_set",
    ]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real benchmark files are not here")
def test_the_real_files_load_whole_with_their_known_flaws():
    test = read_questions(str(SHARED / "deepresearcher_test.parquet")).by_benchmark()
    dev = read_questions(str(SHARED / "deepresearcher_dev.parquet")).questions
    assert {name: len(questions) for name, questions in test.items()} == {
        "nq": 512,
        "triviaqa": 512,
        "popqa": 512,
        "hotpotqa": 512,
        "2wiki": 512,
        "musique": 512,
        "bamboogle": 125,
    }
    flaws = {name: find_flaws(questions, dev) for name, questions in test.items()}
    assert len(flaws["nq"].long_golds) == 126
    assert flaws["nq"].longest_gold_words == 5_188
    assert sum(len(each.duplicates) for each in flaws.values()) == 4
    assert sum(len(each.in_dev) for each in flaws.values()) == 190
    assert len(flaws["bamboogle"].in_dev) == 125
    assert {question.num_hops for question in test["musique"]} == {2, 3, 4}
    webwalker = read_questions(str(SHARED / "webwalkerqa_test.json"))
    assert len(webwalker.by_benchmark()["webwalkerqa"]) == 680
