"""The order of a flow's parameters in the form that Prefect draws of its deployments.

A form shows parameters as the signature has them, and the configuration has some 250 fields: what
stands below it is not found. Calls of our flows have it first all the same.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Annotated, Any, TypeVar

from prefect import Flow
from prefect.utilities.callables import ParameterSchema, parameter_schema
from pydantic import GetPydanticSchema, WithJsonSchema
from pydantic_core.core_schema import no_info_plain_validator_function

from flows.config import EvolutionConfig

AnyFlow = TypeVar("AnyFlow", bound=Flow[..., Any])

# `PlainValidator` would take the schema of what it stands for along, for serialization.
_Validated = GetPydanticSchema(
    lambda _source, _handler: no_info_plain_validator_function(EvolutionConfig.model_validate)
)
ConfigParameter = Annotated[EvolutionConfig, _Validated, WithJsonSchema({})]
"""The type of a flow's parameter `config`.

Prefect makes the schema of each flow's parameters, twice, when the flow is defined; that of the
configuration takes a twentieth of a second each time, and a worker's flow run waits for it. So
nothing of it is shown to Prefect, and `config_last` puts in the one that all flows share.
"""


def config_last(flow: AnyFlow) -> AnyFlow:
    """Makes forms show the parameter `config` below the others; calls stay as they are.

    Args:
        flow: A flow whose parameter `config` is a `ConfigParameter`.
    """
    signature = inspect.signature(flow.fn, eval_str=True)
    others = [each for each in signature.parameters.values() if each.name != "config"]
    # A parameter without a default may stand behind those with one only as a keyword.
    config = signature.parameters["config"].replace(
        kind=inspect.Parameter.KEYWORD_ONLY, annotation=EvolutionConfig
    )
    # Prefect reads the flow's own signature for the form, and its function's for a call.
    vars(flow)["__signature__"] = signature.replace(parameters=[*others, config])
    _show(flow.parameters)
    return flow


def _show(form: ParameterSchema) -> None:
    """Puts the configuration into a form that has nothing of it, below all else."""
    known = _configuration()
    form.definitions = {**known.definitions, **form.definitions}
    shown = {**form.properties, "config": known.properties["config"] | form.properties["config"]}
    order = [*(name for name in shown if name != "config"), "config"]
    form.properties = {name: {**shown[name], "position": i} for i, name in enumerate(order)}
    form.required = [name for name in order if name in form.required]


@cache
def _configuration() -> ParameterSchema:
    """The form of a flow that is told nothing but a configuration."""

    def configured(config: EvolutionConfig) -> None: ...

    return parameter_schema(configured)
