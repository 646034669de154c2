"""Benchmark questions from elsewhere, as a `questions` artifact of the store.

A file's content, not its name, makes the artifact: the same questions are the same artifact, and
what was scored on them is found again.
"""

from __future__ import annotations

import hashlib
import json

from evaluation.sources.load import QuestionFile, read_questions
from tasks.artifacts import ArtifactStore
from tasks.benchmark_report import counts_by_benchmark
from tasks.config import StageConfig
from tasks.construct import corpus_digests
from tasks.manifest import ArtifactRef
from tasks.references import resolve
from tasks.rows import question_row


def benchmark_questions(
    store: ArtifactStore, config: StageConfig, run: str, questions: str
) -> ArtifactRef:
    """The questions that the benchmarks ask: those of `benchmark.file`, else those of the run.

    Args:
        store: The store.
        config: The configuration.
        run: Run that asks, for the manifest.
        questions: Reference of the run's questions, or of what was imported before.

    Raises:
        UsageError: The reference or the file cannot be used.
        AssetError: A set could not be fetched.
    """
    if not config.benchmark.file:
        return resolve(store, "questions", questions)
    if questions:
        given = resolve(store, "questions", questions)
        if store.manifest(given).metadata.get("source") == config.benchmark.file:
            return given
    return import_questions(store, config, run, read_questions(config.benchmark.file))


def import_questions(
    store: ArtifactStore, config: StageConfig, run: str, read: QuestionFile
) -> ArtifactRef:
    """Writes questions from elsewhere into the store.

    Args:
        store: The store.
        config: The configuration: what the local web is made of belongs to the artifact, as it
            does for the questions that are built from it.
        run: Run that asks, for the manifest.
        read: The questions.
    """
    rows = sorted((question_row(q) for q in read.questions), key=lambda row: row["question_id"])
    # Of corpus files, what they hold counts, not where they lie.
    made_of = {**config.web.built_from, "corpus": corpus_digests(config)}
    web = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    content = json.dumps([rows, web], sort_keys=True)
    return store.write_table(
        "questions",
        rows,
        stage_key=f"import-{hashlib.sha256(content.encode()).hexdigest()[:32]}",
        name="questions",
        run=run,
        metadata={"web": web, "source": read.source, "benchmarks": counts_by_benchmark(read)},
    )
