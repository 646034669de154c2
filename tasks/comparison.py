"""Finds what two policies answered under the same settings, and compares it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from agents.errors import UsageError
from evaluation.comparison import Comparison, compare
from evaluation.sources.names import benchmark_name
from tasks.artifacts import ArtifactStore
from tasks.benchmark_rows import PROTOCOL, scored
from tasks.manifest import Manifest
from tasks.runs import RunLog, StageRecord
from tasks.schemas import POLICIES
from tasks.selection import GATE_SPLIT

_NOT_OF_A_MARK = frozenset({"seed", "confidence", "k", "normalisation"})
"""Parts of a protocol that judges' marks do not depend on."""

Answered = dict[str, dict[str, float]]
"""A policy's score of each question, by benchmark and question id."""


def compare_policies(
    store: ArtifactStore,
    first: Sequence[str],
    second: Sequence[str],
    *,
    benchmarks: Collection[str] = (),
    across_settings: bool = False,
    confidence: float = 0.95,
) -> dict[str, Comparison]:
    """Compares policies by what the store has of their answers to benchmarks.

    The judge's marks count. What was answered under several settings is compared under those that
    all policies were measured under, the newest of them.

    Args:
        store: The store.
        first: Digests of the first side: a policy, or one a seed.
        second: Digests of the second side.
        benchmarks: Names of the benchmarks to compare on, the average too; none: all.
        across_settings: Whether policies that were measured differently may be compared.
        confidence: Confidence level of intervals, and of calling a difference significant.

    Raises:
        UsageError: A policy has no answers, they have no benchmark and setting in common, or a
            benchmark of that name is not among those that they have.
    """
    measured = {digest: _measured(store, digest) for digest in dict.fromkeys((*first, *second))}
    for digest, settings in measured.items():
        if not settings:
            raise UsageError(
                f"policy {digest[:12]} has answered no benchmark in this store: "
                f"evolvesearch benchmark --policy {digest[:12]}"
            )
    shared = [
        setting
        for setting in measured[first[0]]
        if all(setting in settings for settings in measured.values())
    ]
    if not shared and not across_settings:
        raise UsageError(
            f"these policies were not measured alike ({_difference(measured)}): measure them alike "
            "with `evolvesearch benchmark`, or give --across-settings"
        )
    sides = [
        [_answers(measured[digest], shared if not across_settings else None) for digest in side]
        for side in (first, second)
    ]
    found = compare(*_only(sides, benchmarks), confidence=confidence)
    if not found:
        raise UsageError("these policies have no question of a benchmark in common")
    return found


def _only(
    sides: Sequence[Sequence[Answered]], benchmarks: Collection[str]
) -> Sequence[Sequence[Answered]]:
    """What each policy answered to these benchmarks; to all where none is named."""
    if not benchmarks:
        return sides
    shared = set.intersection(*(set(answers) for side in sides for answers in side))
    names = {name if name in shared else benchmark_name(name) for name in benchmarks}
    for name in sorted(names - shared):
        known = ", ".join(sorted(shared)) or "none"
        raise UsageError(
            f"benchmark {name!r} was not asked of all these policies; shared benchmarks: {known}"
        )
    return [[{n: answers[n] for n in sorted(names)} for answers in side] for side in sides]


def run_comparison(
    store: ArtifactStore,
    run: str,
    iterations: Sequence[Mapping[str, Any]],
    confidence: float = 0.95,
) -> dict[str, Any]:
    """How a run's last policy differs from its first, for its document.

    Args:
        store: The store.
        run: Name of the run; only what its own benchmarks asked counts.
        iterations: Entries of the run's document, the base policy first.
        confidence: Confidence level of intervals, and of calling a difference significant.

    Returns:
        Comparisons as JSON values by benchmark; none where there is nothing to compare.
    """
    if len(iterations) < 2:
        return {}
    stages = RunLog(store.objects).stages(run)
    names = iterations[0]["benchmarks"]
    sides = []
    for entry in (iterations[0], iterations[-1]):
        answers = own_answers(store, stages, entry["policy"])
        sides.append({name: answers[name] for name in names if name in answers})
    found = compare(*([side] for side in sides), confidence=confidence) if all(sides) else {}
    return {name: asdict(comparison) for name, comparison in found.items()}


def own_answers(store: ArtifactStore, stages: Sequence[StageRecord], policy: str) -> Answered:
    """What a run's own benchmarks have of a policy's answers, the newest of each benchmark.

    Args:
        store: The store.
        stages: Stages of the run.
        policy: Digest of the policy.
    """
    own = {
        (ref.key, ref.name)
        for stage in stages
        if stage.stage == "benchmark"
        for ref in stage.artifacts
    }
    return _answers(_measured(store, policy, own), None)


def gate_answers(
    store: ArtifactStore, stages: Sequence[StageRecord], policy: str
) -> Mapping[str, float]:
    """A policy's marks by question of the gate, as a run asked it last; none where it did not.

    Args:
        store: The store.
        stages: Stages of the run.
        policy: Digest of the policy.
    """
    for stage in reversed(stages):
        for ref in stage.artifacts if stage.stage == "gate" else ():
            if ref.kind == "answers":
                rows = store.read_table(ref).to_pylist()
                marks = {
                    row["question_id"]: mark
                    for row in rows
                    if row["policy"] == policy and (mark := scored(row).correct) is not None
                }
                if marks:
                    return marks
    return {}


def _measured(
    store: ArtifactStore, policy: str, among: Collection[tuple[str, str]] | None = None
) -> dict[str, Answered]:
    """A policy's answers by the settings they were measured under, the newest first."""
    settings: dict[str, Answered] = defaultdict(dict)
    for manifest in reversed(store.manifests()):
        asked = any((p.kind, p.digest) == (POLICIES, policy) for p in manifest.parents)
        meant = among is None or (manifest.ref.key, manifest.ref.name) in among
        if manifest.ref.kind != "answers" or not asked or not meant:
            continue
        protocol = manifest.metadata.get(PROTOCOL, {})
        relevant = {key: protocol[key] for key in protocol if key not in _NOT_OF_A_MARK}
        setting = settings[json.dumps(relevant, sort_keys=True)]
        for name, answers in _scores(store, manifest, policy).items():
            setting.setdefault(name, answers)
    return {setting: answered for setting, answered in settings.items() if answered}


def _scores(store: ArtifactStore, manifest: Manifest, policy: str) -> Answered:
    """Mean mark of each question; those that the judge failed on are left out."""
    marks: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in store.read_table(manifest.ref).to_pylist():
        correct = scored(row).correct
        if row["policy"] == policy and row["benchmark"] != GATE_SPLIT and correct is not None:
            marks[row["benchmark"]][row["question_id"]].append(correct)
    return {
        name: {question: fmean(values) for question, values in questions.items()}
        for name, questions in marks.items()
    }


def _answers(measured: Mapping[str, Answered], shared: Sequence[str] | None) -> Answered:
    """The newest answers to each benchmark, under the shared settings if there are any."""
    answers: Answered = {}
    for setting in measured if shared is None else shared:
        for name, scores in measured[setting].items():
            answers.setdefault(name, scores)
    return answers


def _difference(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """What differs between the newest settings of the policies, in words."""
    newest = [_flat(json.loads(next(iter(settings)))) for settings in measured.values()]
    values = {
        key: list(dict.fromkeys(setting.get(key, "unknown") for setting in newest))
        for key in sorted(set().union(*newest))
    }
    return "; ".join(
        f"{key} {' or '.join(_short(value) for value in each)}"
        for key, each in values.items()
        if len(each) > 1
    )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Settings as texts by dotted key."""
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat


def _short(value: str) -> str:
    return value if len(value) <= 24 else f"{value[:12]}…"
