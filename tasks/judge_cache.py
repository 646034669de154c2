"""A judge's verdicts in the store: one object each, named by a hash of model and prompt.

They are written once and never changed, so that all runs and processes on a store pay for a verdict
once, and a benchmark that is scored again asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from evaluation.judging.opening import open_judge
from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig
from tasks.storage.objects import ObjectStore
from training.judged_answers import JudgedAnswers

FOLDER = "verdicts"


class StoredVerdicts:
    """Verdicts of all judges in one store.

    Args:
        objects: Where they are kept.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def get_many(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The verdicts that are there, by key.

        Raises:
            StoreError: They could not be read.
        """
        found = self._objects.get_many([_path(key) for key in keys])
        return {
            key: data.decode("utf-8", "replace")
            for key, data in zip(keys, found, strict=True)
            if data is not None
        }

    def put(self, key: str, verdict: str) -> None:
        """Keeps a verdict, unless there is one; the first stays.

        Raises:
            StoreError: It could not be written.
        """
        self._objects.put_new(_path(key), verdict.encode())


@contextmanager
def reward_judge(store: ArtifactStore, config: StageConfig) -> Iterator[JudgedAnswers | None]:
    """The judge that rewards are given by, its verdicts in the store; None where there is none.

    Raises:
        UsageError: The environment has no key.
    """
    if config.reward.answer != "judge":
        yield None
        return
    judge = open_judge(config.reward.judge, StoredVerdicts(store.objects), "reward.judge")
    try:
        yield JudgedAnswers(judge, config.agents.max_failed_share)
    finally:
        judge.close()


def _path(key: str) -> str:
    # Two levels, as no folder should hold ten thousands of files.
    return f"{FOLDER}/{key[:2]}/{key}.json"
