"""The order of a flow's parameters in the form that Prefect draws of its deployments.

A form shows parameters as the signature has them, and the configuration has some 250 fields: what
stands below it is not found. Calls of our flows have it first all the same.
"""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from prefect import Flow
from prefect.utilities.callables import parameter_schema

AnyFlow = TypeVar("AnyFlow", bound=Flow[..., Any])


def config_last(flow: AnyFlow) -> AnyFlow:
    """Makes forms show the parameter `config` below the others; calls stay as they are."""
    signature = inspect.signature(flow.fn, eval_str=True)
    others = [each for each in signature.parameters.values() if each.name != "config"]
    # A parameter without a default may stand behind those with one only as a keyword.
    config = signature.parameters["config"].replace(kind=inspect.Parameter.KEYWORD_ONLY)
    # Prefect reads the flow's own signature for the form, and its function's for a call.
    vars(flow)["__signature__"] = signature.replace(parameters=[*others, config])
    flow.parameters = parameter_schema(flow)
    return flow
