"""Child of the construct stage: the web, the questions, and the base policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.assets.model import ensure_model
from agents.randomness import derive_seed
from agents.trajectory import Question
from agents.web.local import LocalWeb, open_web
from agents.web.search.config import SearchConfig
from evaluation.questions.build import build_questions
from tasks.config import TINY_MODEL
from tasks.heavy.child import Emit
from tasks.jobs.payload import Job
from tasks.jobs.sampling import load_tokenizer, open_tools
from tasks.rows import question_row
from training.construction.chains import build_cold_start
from training.tiny import make_tiny_policy

_NUM_TINY_PAGES = 40
"""Pages whose text a tiny tokenizer is trained on, beside the conversations."""

_TINY = {"vocabulary": 1000, "hidden_size": 128, "num_layers": 2}
"""Wide and shallow: of the shapes of half a million weights, this one learns a dozen
conversations in the fewest seconds."""


def run(payload: dict[str, Any], _emit: Emit) -> dict[str, Any]:
    """Writes `questions` and the base `policy`."""
    job = Job(payload)
    config = job.config
    web = open_web(config.web)
    built = build_questions(web.graph, config.questions, config.seed)
    splits = {"train": built.training, "gate": built.gate, **built.benchmarks}
    questions = [question for split in splits.values() for question in split]
    metrics = {f"num_{name}": len(split) for name, split in splits.items()}
    job.write_table(
        "questions",
        [question_row(question) for question in questions],
        metadata={"web": web.digest, "metrics": {"num_pages": len(web.pages), **metrics}},
    )
    with job.scratch() as folder:
        if config.model == TINY_MODEL:
            model = _make_tiny(job, web, built.training, folder)
        else:
            model = ensure_model(config.model)
        job.write_policy(model, {"source": config.model})
    return {}


def _make_tiny(job: Job, web: LocalWeb, training: tuple[Question, ...], folder: Path) -> Path:
    """Makes a tiny policy whose vocabulary comes from what it is to read and to write.

    The conversations of its cold start need a tokenizer to be built, so a first one, of the
    pages' text alone, builds them, and they in turn make the one that is kept.
    """
    config = job.config
    seed = derive_seed(config.seed, "tiny")
    urls = sorted(web.pages)
    texts = [web.pages[url].text for url in urls[:: 1 + len(urls) // _NUM_TINY_PAGES]]
    tokenizer = load_tokenizer(make_tiny_policy(folder / "first", texts, seed, **_TINY))
    # That tokenizer needs more tokens for the same words than the limits were meant for.
    roomy = config.agents.model_copy(
        update={
            "max_context_tokens": 8 * config.agents.max_context_tokens,
            "max_turn_tokens": 8 * config.agents.max_turn_tokens,
            "observation_tokens": 2 * config.agents.observation_tokens,
        }
    )
    # Its conversations are known chains of the local web: nobody else is asked.
    local = config.web.model_copy(update={"search": SearchConfig()})
    visit = config.agents.visit.model_copy(update={"reader": "passages"})
    reading = config.agents.model_copy(update={"visit": visit})
    with open_tools(config.model_copy(update={"web": local, "agents": reading})) as tools:
        conversations = build_cold_start(
            training, tools, tokenizer, roomy, config.cold_start, config.seed
        )
    for trajectory in conversations:
        texts.append(
            tokenizer.decode(
                list(trajectory.token_ids),
                skip_special_tokens=True,
                clean_up_tokenization_spaces=False,
            )
        )
    return make_tiny_policy(folder / "policy", texts, seed, **_TINY)
