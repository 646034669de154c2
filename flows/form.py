"""The order of a flow's parameters in the form that Prefect draws of its deployments.

A form shows parameters as the signature has them, and the configuration has some 250 fields: what
stands below it is not found. The calls of our flows have it first all the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from prefect import Flow
from prefect.utilities.callables import parameter_schema

AnyFlow = TypeVar("AnyFlow", bound=Flow[Any, Any])


def shown_last(name: str) -> Callable[[AnyFlow], AnyFlow]:
    """Makes forms show a parameter below the others; how the flow is called stays the same.

    Args:
        name: The parameter.
    """

    def reorder(flow: AnyFlow) -> AnyFlow:
        signature = inspect.signature(flow.fn, eval_str=True)
        others = [each for each in signature.parameters.values() if each.name != name]
        # A parameter without a default may stand behind those with one only as a keyword.
        last = signature.parameters[name].replace(kind=inspect.Parameter.KEYWORD_ONLY)
        # Prefect reads the flow's own signature for the form, and its function's for a call.
        vars(flow)["__signature__"] = signature.replace(parameters=[*others, last])
        flow.parameters = parameter_schema(flow)
        return flow

    return reorder
