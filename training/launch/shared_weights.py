"""A policy's weights from the main rank to the driver: a file of safetensors that lies in memory.

On Linux the file has no name, only a descriptor of the rank that holds it: whoever is killed, it
goes with the last process that has it. It is written a tensor at a time; the library's own writer
wants a folder to put a file into.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import torch
from safetensors import safe_open

_DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
_ALIGNMENT = 8


@contextmanager
def shared_weights(weights: Mapping[str, torch.Tensor], scratch: Path) -> Iterator[str]:
    """Lays weights down for the duration of a block.

    Args:
        weights: Tensors by name; names of one tensor may be several.
        scratch: Where the file goes on systems without files in memory.

    Yields:
        The file, as `read_weights` takes it.
    """
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("weights"), "wb") as file:
            _write(weights, file)
            yield f"/proc/{os.getpid()}/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile(dir=scratch) as named:
            _write(weights, named)
            yield named.name


def read_weights(path: str) -> dict[str, torch.Tensor]:
    """Reads weights that `shared_weights` laid down."""
    with safe_open(path, framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        aliases = file.metadata() or {}
    return weights | {name: weights[first] for name, first in aliases.items()}


def _write(weights: Mapping[str, torch.Tensor], file: IO[bytes]) -> None:
    kept: dict[int, str] = {}
    aliases: dict[str, str] = {}
    header: dict[str, object] = {"__metadata__": aliases}
    end = 0
    for name, tensor in weights.items():
        first = kept.setdefault(id(tensor), name)
        if first != name:
            aliases[name] = first
            continue
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    data = json.dumps(header).encode()
    data += b" " * (-len(data) % _ALIGNMENT)
    file.write(len(data).to_bytes(8, "little") + data)
    for name in kept.values():
        # numpy knows no bf16, so tensors are written as bytes.
        flat = weights[name].detach().to("cpu").contiguous().view(-1).view(torch.uint8)
        file.write(flat.numpy().data)
    file.flush()
