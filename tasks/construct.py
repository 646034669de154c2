"""The construct stage: the web, the questions from its facts, and the base policy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents.assets.model import local_model
from agents.errors import UsageError
from agents.web.search.factory import check_search
from evaluation.sources.load import check_source
from tasks.artifacts import ArtifactStore
from tasks.config import TINY_MODEL, StageConfig, StageContext
from tasks.digests import file_digest
from tasks.heavy.run import run_heavy
from tasks.jobs.payload import payload_of
from tasks.leases import Lease
from tasks.manifest import ArtifactRef
from tasks.policies import policy_digest
from tasks.sampling_inputs import prompt_digest
from tasks.stage import StageOutcome, StageWork, run_stage
from tasks.stage_task import stage_task
from training.trackers import chosen_trackers


def check_inputs(config: StageConfig) -> None:
    """Checks that the model, files, key and packages that a configuration needs are there.

    For callers that would rather know before they start anything; fetches and digests nothing.

    Raises:
        UsageError: One of them cannot be used.
    """
    check_search(config.web)
    chosen_trackers(config.training.report_to)
    if config.model != TINY_MODEL:
        local_model(config.model)
    if config.benchmark.file:
        check_source(config.benchmark.file)
    for path in [*config.web.corpus, *_named_files(config).values()]:
        with _readable(path), Path(path).expanduser().open("rb"):
            pass


@stage_task("make web, questions and base policy")
def construct_inputs(config: StageConfig, context: StageContext) -> StageOutcome:
    """Makes what every run starts from.

    Returns:
        Artifacts `questions` and `policy` (the base policy).

    Raises:
        UsageError: The model or a file named in the configuration cannot be used.
        AssetError: An input could not be fetched.
    """
    store = ArtifactStore.open(config.store)

    def compute(lease: Lease) -> None:
        run_heavy(
            "tasks.jobs.construct:run",
            payload_of(config, context, lease.key, {}),
            description="construct",
            lease=lease,
        )

    sections: dict[str, Any] = {
        "web": config.web.built_from,
        "questions": config.questions,
        "model": config.model,
    }
    if config.model == TINY_MODEL:
        # Its vocabulary and its size come from the conversations that it is to learn.
        sections |= {
            "agents": config.agents,
            "prompt": prompt_digest(config),
            "cold_start": config.cold_start,
        }
    work = StageWork(
        stage="construct",
        config=sections,
        inputs=_digests_of_files(config),
        outputs=("questions", "policy"),
        seed=config.seed,
        compute=compute,
    )
    return run_stage(store, context, work)


def web_digest(store: ArtifactStore, questions: ArtifactRef) -> str:
    """Digest of the web that a `questions` artifact was made from."""
    return str(store.manifest(questions).metadata.get("web", ""))


def corpus_digests(config: StageConfig) -> list[str]:
    """Digests of the corpus files that the local web is made of.

    Raises:
        UsageError: One of them cannot be read.
    """
    return [_file(path) for path in config.web.corpus]


def _digests_of_files(config: StageConfig) -> list[str]:
    """Digests of all that the configuration names by its path, which may change behind it."""
    digests = corpus_digests(config)
    digests += [f"{split}:{_file(path)}" for split, path in sorted(_named_files(config).items())]
    if Path(config.model).expanduser().is_dir():
        digests.append(policy_digest(Path(config.model).expanduser()))
    return digests


def _named_files(config: StageConfig) -> dict[str, str]:
    """The files of questions that the configuration names, by split."""
    own = config.questions
    named = {"train": own.training_file, "gate": own.gate_file, **own.benchmark_files}
    return {split: path for split, path in named.items() if path}


def _file(path: str) -> str:
    with _readable(path):
        return file_digest(Path(path).expanduser())


@contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
