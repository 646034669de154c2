"""What a single stage reads where nothing is named, and what is said of it afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.errors import UsageError
from deployments.cli.options import store_exists
from flows.config import EvolutionConfig
from tasks.artifacts import ArtifactStore
from tasks.benchmark import breakdown
from tasks.benchmark_rows import PROTOCOL
from tasks.config import StageContext
from tasks.policy_scores import scores_in
from tasks.references import reference_of, resolve
from tasks.runs import RunLog

_MADE_BY = {
    "questions": "construct",
    "policy": "construct",
    "trajectories": "rollout",
    "sft_examples": "filter",
}


def find_inputs(
    config: EvolutionConfig,
    run: str | None,
    needed: Sequence[str],
    named: Mapping[str, str | None],
) -> dict[str, str]:
    """References to what a stage reads: what is named, and what a run has of the rest.

    Args:
        config: The configuration, with the store.
        run: Run to take what is not named from; None: the one of this configuration where there is
            one, else the store's newest.
        needed: Inputs that the stage cannot do without.
        named: References by input, None where none was given.

    Raises:
        UsageError: Something is neither named nor to be found.
    """
    inputs = {key: text for key, text in named.items() if text is not None}
    missing = [key for key in needed if key not in inputs]
    if missing and not store_exists(config.store.uri):
        raise UsageError(f"no store at {config.store.uri}: start with `evolvesearch construct`")
    if missing:
        store = ArtifactStore.open(config.store)
        sources = _sources(RunLog(store.objects), run, config.default_run_name)
        inputs |= _from_first(store, sources, missing)
    return inputs


def has_stages(config: EvolutionConfig) -> bool:
    """Whether the store has the record of any stage."""
    if not store_exists(config.store.uri):
        return False
    return bool(RunLog(ArtifactStore.open(config.store).objects).stages())


def _sources(log: RunLog, run: str | None, default: str) -> list[str]:
    """Runs to look in, the likeliest first."""
    known = list(dict.fromkeys(stage.run for stage in reversed(log.stages())))
    if run is not None and run in known:
        return [run]
    if run is None and known:
        return sorted(known, key=lambda name: name != default)
    wanted = f"no run named {run!r} in this store" if run else "this store has no run"
    raise UsageError(f"{wanted}; name the stage's inputs, or start with `evolvesearch construct`")


def _from_first(store: ArtifactStore, runs: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    """What the first run that has it all has; a run of one stage alone has only what that made."""
    first_problem: UsageError | None = None
    for run in runs:
        try:
            return {key: _newest(store, run, key) for key in keys}
        except UsageError as problem:
            first_problem = first_problem or problem
    assert first_problem is not None, "there is at least one run"
    raise first_problem


def _newest(store: ArtifactStore, run: str, key: str) -> str:
    """The newest artifact of a kind among those that a run made or reused."""
    log = RunLog(store.objects)
    record = log.run(run)
    if key == "policy" and record and any(entry.promoted for entry in record.policies):
        return reference_of(resolve(store, "policies", run))
    kind = "policies" if key == "policy" else key
    # A benchmark's trajectories are no material for training.
    stages = [stage for stage in log.stages(run) if stage.stage not in ("benchmark", "gate")]
    for stage in reversed(stages):
        for ref in stage.artifacts:
            if ref.kind == kind:
                return reference_of(ref)
    option = "--examples" if key == "sft_examples" else f"--{key}"
    raise UsageError(
        f"run {run} has no {kind}: name one with {option}, or a run that has one with --run, "
        f"or make one with `evolvesearch {_MADE_BY[key]}`"
    )


def stage_document(
    config: EvolutionConfig,
    context: StageContext,
    stage: str,
    inputs: Mapping[str, str],
    made: Mapping[str, str],
) -> dict[str, Any]:
    """What a stage did, as a JSON document.

    Args:
        config: The configuration, with the store.
        context: Run and iteration of the stage.
        stage: Name of the stage, as its record calls it.
        inputs: References to what it read.
        made: References to what it made, by name.
    """
    store = ArtifactStore.open(config.store)
    records = [
        record
        for record in RunLog(store.objects).stages(context.run)
        if (record.stage, record.iteration) == (stage, context.iteration)
    ]
    manifests = {
        name: manifest
        for name, text in made.items()
        if (manifest := store.find(*text.rsplit("/", 1))) is not None
    }
    scores: dict[str, dict[str, Any]] = {}
    measured: dict[str, Any] = {}
    for manifest in manifests.values():
        if manifest.ref.kind == "benchmarks":
            for of_policy in scores_in(store, manifest.ref).values():
                scores |= of_policy
            protocol = manifest.metadata.get(PROTOCOL, {})
            measured = {"protocol": protocol, "breakdown": breakdown(store, manifests["answers"])}
    record = records[-1]
    return {
        "run": context.run,
        "stage": stage,
        "iteration": context.iteration,
        "status": record.status,
        "error": record.error,
        "reused": record.reused,
        "wall_s": record.wall_s,
        "inputs": dict(inputs),
        "artifacts": {
            name: {
                "reference": made[name],
                "kind": manifest.ref.kind,
                "digest": manifest.ref.digest,
                "num_rows": manifest.num_rows,
            }
            for name, manifest in manifests.items()
        },
        "metrics": dict(record.metrics),
        "benchmarks": scores,
        **measured,
    }
