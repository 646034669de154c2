"""The one way to call a stage: inline as a sub-flow, or sent to a worker of its deployment.

Both run the same flow. What a dispatched stage made is read from its record in the store, never
from Prefect; before it is sent the store is asked whether it is done, so that a run that goes on
sends out only what is left.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.logging import get_run_logger

import agents.errors
from agents.errors import EvolveSearchError, StageError, StoppedError
from flows.config import EvolutionConfig
from flows.handover import Ended, Order, hand_over
from flows.prefect_runtime import without_heartbeat
from flows.stages import ADAPTERS, References, rollout_part, run_name_of
from tasks.artifacts import ArtifactStore
from tasks.config import StageContext
from tasks.references import reference_of
from tasks.runs import RunLog, StageRecord
from tasks.stage import look_for
from tasks.stage_events import StageEvent, tell_stage

_SAMPLING = ("closed-book", "rollout", "rollout-part", "benchmark")
_TRAINING = ("sft", "rl")

_EXCEPTION = re.compile(r"exception:? (?P<kind>\w+): (?P<text>.*)", re.DOTALL)
"""What Prefect says of a flow run that failed."""


def perform(
    stage: Flow[..., References],
    config: EvolutionConfig,
    context: StageContext,
    **inputs: Any,
) -> References:
    """Runs a stage where the configuration says.

    Args:
        stage: Its flow.
        config: The configuration of the run.
        context: Run, iteration and subject.
        inputs: References to what it reads, and its other parameters.

    Returns:
        References to what it made; none where it was skipped.

    Raises:
        EvolveSearchError: It failed, or was cancelled; one line.
    """
    if config.execution.mode == "inline" or _stands(stage, config, context, inputs):
        with without_heartbeat():
            made: References = stage(config, context, **inputs)
            return made
    if stage.name == "rollout" and config.execution.rollout_workers > 1:
        _share_out(config, context, inputs)
    [ended] = hand_over([order_of(stage, config, context, inputs)], config.execution)
    if not ended.state.is_completed():
        raise error_of(ended)
    return _made(config, context, record_name(stage, inputs), ended)


def order_of(
    stage: Flow[..., Any],
    config: EvolutionConfig,
    context: StageContext,
    inputs: Mapping[str, Any],
) -> Order:
    """What a worker is asked to do."""
    execution = config.execution
    # Children run in other folders, perhaps on other machines.
    document = with_absolute_store(config).model_dump(mode="json")
    name = run_name_of(record_name(stage, inputs), context)
    gpus = execution.rollout_gpus * (stage.name in _SAMPLING)
    gpus += execution.train_gpus * (stage.name in _TRAINING)
    # How it is executed changes nothing of what it does; nor does a time that nothing is held to.
    meant = {
        "config": {key: value for key, value in document.items() if key != "execution"},
        "redo": [context.redo, context.fresh_since] if context.redo else [],
        "inputs": dict(inputs),
    }
    digest = hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()[:16]
    place = (context.run, str(context.iteration), stage.name, context.subject, digest)
    return Order(
        deployment=f"{stage.name}/{execution.deployment}",
        name=_numbered(name, inputs),
        parameters={"config": document, "context": context.model_dump(mode="json"), **inputs},
        key="/".join(place),
        job_variables={"gpus": gpus} if gpus else {},
        tags=(f"run:{context.run}", f"stage:{record_name(stage, inputs)}"),
    )


def record_name(stage: Flow[..., Any], inputs: Mapping[str, Any]) -> str:
    """What a stage's records call it; a part of one has no other name."""
    return "gate" if inputs.get("gate") else stage.name.removesuffix("-part").replace("-", "_")


def error_of(ended: Ended) -> EvolveSearchError:
    """The error that a flow run ended with, as the stage raised it."""
    name, state = ended.order.name, ended.state
    message = " ".join((state.message or "").split())
    if state.is_cancelled():
        return StoppedError(f"{name} was cancelled in Prefect; the same command goes on from there")
    if state.is_crashed():
        return StageError(f"{name} crashed on its worker: {message or 'it gave no reason'}")
    if (found := _EXCEPTION.search(message)) is None:
        return StageError(f"{name} failed on its worker: {message or 'it gave no reason'}")
    kind = getattr(agents.errors, found["kind"], None)
    if isinstance(kind, type) and issubclass(kind, EvolveSearchError):
        return kind(found["text"])
    return StageError(f"{name} failed on its worker: {found['kind']}: {found['text']}")


def _stands(
    stage: Flow[..., Any],
    config: EvolutionConfig,
    context: StageContext,
    inputs: Mapping[str, Any],
) -> bool:
    """Whether a stage has nothing to compute, as far as this process can tell."""
    try:
        return look_for(lambda: ADAPTERS[stage.name].fn(config, context, **inputs)) is not None
    except PackageNotFoundError:
        # A key names the versions of the libraries behind it; a parent need not have them.
        return False


def _share_out(config: EvolutionConfig, context: StageContext, inputs: Mapping[str, Any]) -> None:
    """Has several workers sample parts of a rollout stage; what they leave, the stage does."""
    parts = config.execution.rollout_workers
    orders = [
        order_of(rollout_part, config, context, {**inputs, "part": part, "parts": parts})
        for part in range(1, parts + 1)
    ]
    for ended in hand_over(orders, config.execution):
        if ended.state.is_cancelled():
            raise error_of(ended)
        if not ended.state.is_completed():
            get_run_logger().warning("%s; the stage itself does the rest", error_of(ended))


def _made(config: EvolutionConfig, context: StageContext, stage: str, ended: Ended) -> References:
    """What a flow run's stage made, as its record says."""
    store = ArtifactStore.open(config.store)
    place = (context.iteration, stage, context.subject)
    records = [
        record
        for record in RunLog(store.objects).stages(context.run)
        if (record.iteration, record.stage, record.subject) == place
    ]
    if not records or records[0].status not in ("done", "skipped"):
        raise StageError(
            f"{ended.order.name} completed on its worker, but the store {store.uri} has no record "
            "of it: parent and workers must name the same store"
        )
    record = records[0]
    for ref in record.artifacts:
        if store.find(ref.key, ref.name) is None:
            raise StageError(f"{ended.order.name}: {reference_of(ref)} is gone from the store")
    _tell(record, ended)
    return {ref.name: reference_of(ref) for ref in record.artifacts}


def _tell(record: StageRecord, ended: Ended) -> None:
    """Tells this process of a stage that another one ran."""
    started = ended.flow_run.start_time
    # A record from before the flow run began: it found the stage done by this very run.
    older = started is not None and datetime.fromisoformat(record.started_at) < started
    tell_stage(
        StageEvent(
            record.stage,
            record.iteration,
            record.subject,
            record.status,
            record.status == "done" and (record.reused or older),
            record.wall_s,
        )
    )


def with_absolute_store(config: EvolutionConfig) -> EvolutionConfig:
    """A configuration for a process in another folder: a local store by its absolute path."""
    if "://" in config.store.uri:
        return config
    uri = str(Path(config.store.uri).expanduser().absolute())
    return config.model_copy(update={"store": config.store.model_copy(update={"uri": uri})})


def _numbered(name: str, inputs: Mapping[str, Any]) -> str:
    """The name of a flow run, with the part where it is one of several."""
    return f"{name}, part {inputs['part']} of {inputs['parts']}" if "parts" in inputs else name
