"""The order of a flow's parameters in the form that Prefect draws of its deployments.

A form shows parameters as the signature has them, and the configuration has some 250 fields: what
stands below it is not found. Calls of our flows have it first all the same.
"""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from prefect import Flow

AnyFlow = TypeVar("AnyFlow", bound=Flow[..., Any])


def config_last(flow: AnyFlow) -> AnyFlow:
    """Makes forms show the parameter `config` below the others; calls stay as they are."""
    signature = inspect.signature(flow.fn, eval_str=True)
    others = [each for each in signature.parameters.values() if each.name != "config"]
    # A parameter without a default may stand behind those with one only as a keyword.
    config = signature.parameters["config"].replace(kind=inspect.Parameter.KEYWORD_ONLY)
    # Prefect reads the flow's own signature for the form, and its function's for a call.
    vars(flow)["__signature__"] = signature.replace(parameters=[*others, config])
    # The schema is made already, and making it again costs a tenth of a second each.
    properties = flow.parameters.properties
    order = [*(name for name in properties if name != "config"), "config"]
    flow.parameters.properties = {
        name: {**properties[name], "position": place} for place, name in enumerate(order)
    }
    required = flow.parameters.required
    flow.parameters.required = [name for name in order if name in required]
    return flow
