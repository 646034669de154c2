"""A policy's weights under plain names, whatever training has made of them.

Adapters are merged, and what DeepSpeed has shared out over the ranks is gathered a matrix at a
time. The model itself is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from transformers import PreTrainedModel

_ADAPTER = "default"


def plain_model(model: torch.nn.Module) -> PreTrainedModel:
    """The policy itself: without the wrapper that holds its adapters."""
    wrapped: Any = model
    found = wrapped.get_base_model() if hasattr(model, "peft_config") else model
    assert isinstance(found, PreTrainedModel)
    return found


def full_weights(model: torch.nn.Module) -> Iterator[tuple[list[str], torch.Tensor]]:
    """Goes through the weights of a policy, with the names that each has in its plain state dict.

    Every rank has to go through all of them; a tensor is only good until the next is asked for.

    Args:
        model: The policy, without wrappers of data parallelism.
    """
    plain = plain_model(model)
    adapted = _adapted_layers(plain)
    names: dict[int, list[str]] = {}
    for name, parameter in plain.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name.replace(".base_layer.", "."))
    for name, parameter in plain.named_parameters():
        if ".lora_" in name:
            continue
        layer = adapted.get(name)
        needed = [parameter] if layer is None else list(layer.parameters())
        with torch.no_grad(), _gathered(needed):
            value = parameter.detach()
            if layer is not None:
                value = value + layer.get_delta_weight(_ADAPTER)
            yield names[id(parameter)], value
    persistent = plain.state_dict().keys()
    yield from (([name], buffer) for name, buffer in plain.named_buffers() if name in persistent)


def kept_weights(model: torch.nn.Module, *, keep: bool = True) -> dict[str, torch.Tensor]:
    """All weights at once, in the machine's memory where they had to be gathered.

    Args:
        model: As for `full_weights`; all ranks have to call this.
        keep: Whether this rank wants them; else what it returns is empty.
    """
    gathered = any(_is_shared_out(parameter) for parameter in model.parameters())
    kept: dict[str, torch.Tensor] = {}
    for names, tensor in full_weights(model):
        if keep:
            kept |= dict.fromkeys(names, tensor.to("cpu", copy=True) if gathered else tensor)
    return kept


def _adapted_layers(plain: PreTrainedModel) -> dict[str, Any]:
    """Layers with adapters, by the name of the weight that they change."""
    return {
        f"{name}.base_layer.weight": module
        for name, module in plain.named_modules()
        if hasattr(module, "get_delta_weight") and hasattr(module, "base_layer")
    }


def _is_shared_out(parameter: torch.nn.Parameter) -> bool:
    return hasattr(parameter, "ds_id")


def _gathered(parameters: list[torch.nn.Parameter]) -> AbstractContextManager[None]:
    shared = [parameter for parameter in parameters if _is_shared_out(parameter)]
    if not shared:
        return nullcontext()
    import deepspeed

    gathered: AbstractContextManager[None] = deepspeed.zero.GatheredParameters(shared)
    return gathered
