"""Whose columns mean what: rows of published sets and of files of one's own, as drafts.

A file's columns say which shape it has. Names of columns are compared without case.
"""

from __future__ import annotations

import ast
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.errors import UsageError
from evaluation.sources.answers import joined_text, text_of, texts_of
from evaluation.sources.browsecomp import decrypt
from evaluation.sources.rows import Row


@dataclass(frozen=True, slots=True)
class Draft:
    """What a row says of a question, before it is checked.

    Attributes:
        text: The question.
        answers: Right answers, blank ones among them.
        benchmark: Name of its benchmark; empty: that of the file.
        key: Its id there, empty where it has none.
        num_hops: Facts that it needs, 0 where the row does not say.
        kind: Kind of question, empty where the row does not say.
        left_out: Why it cannot be asked, empty where it can.
    """

    text: str
    answers: tuple[str, ...]
    benchmark: str = ""
    key: str = ""
    num_hops: int = 0
    kind: str = ""
    left_out: str = ""


Cells = Mapping[str, Any]
"""Cells of a row by column, in lower case."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Columns by which a form of file is known, and what a row of it means.

    Attributes:
        needs: Columns that it has.
        any_of: Further columns, of which it has one; empty: none is needed.
        draft: Reads a row.
        benchmark: Name of the set whose form it is; empty: the file's own.
    """

    needs: tuple[str, ...]
    draft: Callable[[Cells], Draft]
    any_of: tuple[str, ...] = ()
    benchmark: str = ""

    def fits(self, columns: set[str]) -> bool:
        """Whether a file with these columns has this form."""
        return columns.issuperset(self.needs) and (
            not self.any_of or not columns.isdisjoint(self.any_of)
        )


def drafts_of(rows: Sequence[Row]) -> tuple[list[Draft], str]:
    """Reads all rows of a file by the shape of its columns.

    Returns:
        The drafts in order, and the benchmark whose form the file has, empty for one's own.

    Raises:
        UsageError: The columns are nobody's, or a row does not fit them.
    """
    cells = [{str(name).strip().lower(): row.values[name] for name in row.values} for row in rows]
    columns = set(cells[0])
    shape = next((shape for shape in _SHAPES if shape.fits(columns)), None)
    if shape is None:
        raise UsageError(
            f"{rows[0].place}: expected a column for the question ({', '.join(_QUESTION)}) and one "
            f"for the right answers ({', '.join(_ANSWERS)}); got {', '.join(sorted(columns))}"
        )
    drafts = []
    for row, each in zip(rows, cells, strict=True):
        try:
            drafts.append(shape.draft(each))
        except (KeyError, ValueError, TypeError, SyntaxError, binascii.Error) as error:
            reason = f"no column {error}" if isinstance(error, KeyError) else str(error)
            raise UsageError(f"{row.place}: {reason}") from error
    return drafts, shape.benchmark


def _deep_researcher(cells: Cells) -> Draft:
    """GAIR-NLP/DeepResearcher: chats, golds joined by `<|answer_split|>`, the set in each row."""
    source = text_of(cells["data_source"])
    extra = cells.get("extra_info") or {}
    key = text_of(extra.get("index", ""))
    return Draft(
        text=text_of(cells["prompt"]),
        answers=texts_of(cells["reward_model"]["ground_truth"]),
        benchmark=source,
        key=key.removeprefix(f"{source}_"),
    )


def _gaia(cells: Cells) -> Draft:
    """GAIA: what needs an attached file cannot be asked of an agent that only reads the web."""
    answers = texts_of(cells["final answer"])
    if answers == ("?",):
        raise ValueError("its right answer is not published (GAIA's test split): use validation")
    attached = text_of(cells.get("file_name") or "")
    return Draft(
        text=text_of(cells["question"]),
        answers=answers,
        key=text_of(cells["task_id"]),
        kind=f"level {text_of(cells['level'])}" if cells.get("level") else "",
        left_out="comes with a file" if attached else "",
    )


def _webwalker(cells: Cells) -> Draft:
    """WebWalkerQA, as its owner or WebThinker publishes it."""
    info = {str(key).lower(): value for key, value in (cells.get("info") or cells).items()}
    return Draft(
        text=text_of(cells["question"]),
        answers=texts_of(cells["answer"]),
        kind=text_of(info.get("type") or info.get("hop") or "").replace("-", "_"),
    )


def _browsecomp(cells: Cells) -> Draft:
    canary = text_of(cells["canary"])
    try:
        text, answer = (decrypt(text_of(cells[name]), canary) for name in ("problem", "answer"))
    except ValueError as error:
        raise ValueError("its canary does not decrypt it (BrowseComp)") from error
    return Draft(text=text, answers=(answer,), kind=text_of(cells.get("problem_topic") or ""))


def _frames(cells: Cells) -> Draft:
    """FRAMES: the articles that a question needs stand as the text of a Python list."""
    return Draft(
        text=text_of(cells["prompt"]),
        answers=(text_of(cells["answer"]),),
        num_hops=str(cells.get("wiki_links") or "").count("://"),
        kind=text_of(cells["reasoning_types"]),
    )


def _simpleqa(cells: Cells) -> Draft:
    """SimpleQA, and its verified edition, which has columns for what the first packs into one."""
    metadata = cells.get("metadata") or {}
    if isinstance(metadata, str):
        metadata = ast.literal_eval(metadata)
    kind = metadata.get("answer_type") or cells.get("answer_type") or ""
    return Draft(
        text=text_of(cells["problem"]),
        answers=(text_of(cells["answer"]),),
        kind=text_of(kind),
    )


def _fanoutqa(cells: Cells) -> Draft:
    """FanOutQA: a list or a table is one answer, all of it, not a choice of answers."""
    return Draft(
        text=text_of(cells["question"]),
        answers=(joined_text(cells["answer"]),),
        key=text_of(cells["id"]),
        num_hops=len(cells["decomposition"] or ()),
    )


_QUESTION = ("question", "query", "problem", "prompt")
_ANSWERS = ("answers", "answer", "golden_answers", "gold_answers", "ground_truth", "gold")
_ALIASES = ("aliases", "answer_aliases")
_KEY = ("id", "_id", "qid", "question_id", "task_id", "idx", "index")
_BENCHMARK = ("benchmark", "data_source", "dataset")
_HOPS = ("num_hops", "hops")
_KIND = ("type", "question_type", "family", "category")


def _own(cells: Cells) -> Draft:
    """A file of one's own, and what others publish in the same way (FlashRAG, R1-Searcher)."""
    metadata = cells.get("metadata")
    more = {**metadata, **cells} if isinstance(metadata, dict) else cells
    hops = _first(more, _HOPS)
    answers = [*texts_of(_first(cells, _ANSWERS)), *texts_of(_first(cells, _ALIASES))]
    return Draft(
        text=text_of(_first(cells, _QUESTION)),
        answers=tuple(answers),
        benchmark=text_of(_first(cells, _BENCHMARK)),
        key=text_of(_first(cells, _KEY)),
        num_hops=int(hops) if hops not in (None, "") else 0,
        kind=text_of(_first(more, _KIND)),
    )


def _first(cells: Cells, names: Sequence[str]) -> Any:
    return next((cells[name] for name in names if cells.get(name) is not None), None)


_SHAPES = (
    Shape(("data_source", "prompt", "reward_model"), _deep_researcher),
    Shape(("task_id", "question", "final answer"), _gaia, benchmark="gaia"),
    Shape(("question", "answer", "root_url"), _webwalker, ("info", "golden_path"), "webwalkerqa"),
    Shape(("problem", "answer", "canary"), _browsecomp, benchmark="browsecomp"),
    Shape(("prompt", "answer", "reasoning_types"), _frames, benchmark="frames"),
    Shape(("problem", "answer"), _simpleqa, ("metadata", "answer_type"), "simpleqa"),
    Shape(("question", "answer", "decomposition"), _fanoutqa, benchmark="fanoutqa"),
    *(Shape((name,), _own, _ANSWERS) for name in _QUESTION),
)
