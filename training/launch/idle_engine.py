"""DeepSpeed's engine in a step that has nothing to learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class IdleEngine:
    """Stands in for accelerate's wrapper of DeepSpeed's engine, and leaves idle steps out.

    The engine updates the weights within `backward`, by the optimizer's momentum even where there
    is no gradient at all. A step without anything to learn has to leave the policy as it is.

    Args:
        wrapped: Accelerate's wrapper.
        is_idle: Whether the step under way has nothing to learn; the same on all ranks.
    """

    def __init__(self, wrapped: Any, is_idle: Callable[[], bool]) -> None:
        self._wrapped = wrapped
        self._is_idle = is_idle

    def backward(self, loss: Any, **options: Any) -> None:
        """Computes gradients and, where a batch is complete, updates the weights."""
        if not self._is_idle():
            self._wrapped.backward(loss, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)
