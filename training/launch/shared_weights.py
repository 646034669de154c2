"""A policy's weights from the main rank to the driver: a file of safetensors that lies in memory.

On Linux the file has no name, only a descriptor of the rank that holds it: whoever is killed, it
goes with the last process that has it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file


@contextmanager
def shared_weights(weights: Mapping[str, torch.Tensor], scratch: Path) -> Iterator[str]:
    """Lays weights down for the duration of a block.

    Args:
        weights: Tensors by name; names of one tensor may be several.
        scratch: Where the file goes on systems without files in memory.

    Yields:
        The file, as `read_weights` takes it.
    """
    kept: dict[str, torch.Tensor] = {}
    names: dict[int, str] = {}
    aliases: dict[str, str] = {}
    for name, tensor in weights.items():
        first = names.setdefault(tensor.data_ptr(), name)
        if first == name:
            kept[name] = tensor.contiguous()
        else:
            aliases[name] = first
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("weights")
        try:
            path = f"/proc/{os.getpid()}/fd/{descriptor}"
            save_file(kept, path, aliases)
            yield path
        finally:
            os.close(descriptor)
    else:
        scratch.mkdir(parents=True, exist_ok=True)
        file = scratch / "weights.safetensors"
        save_file(kept, file, aliases)
        yield str(file)
        file.unlink()


def read_weights(path: str) -> dict[str, torch.Tensor]:
    """Reads weights that `shared_weights` laid down."""
    with safe_open(path, framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        aliases = file.metadata() or {}
    return weights | {name: weights[first] for name, first in aliases.items()}
