"""A trainer's weights as a plain model folder, for a server that loads from disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin")


def write_weights(tensors: Mapping[str, Tensor], model_dir: Path, folder: Path) -> None:
    """Writes `tensors` beside the configuration and tokenizer of `model_dir`.

    Args:
        tensors: State dict of the causal LM, in any precision and on any device.
        model_dir: Where everything but the weights is copied from.
        folder: An empty folder.
    """
    from safetensors.torch import save_file

    weights = {path for pattern in _WEIGHTS for path in model_dir.glob(pattern)}
    for path in model_dir.iterdir():
        if path.is_file() and path not in weights:
            shutil.copy(path, folder / path.name)
    distinct: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        # Tied weights are one tensor under two names; a file holds it once.
        if tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        distinct[name] = tensor.detach().cpu().contiguous()
    save_file(distinct, folder / "model.safetensors", metadata={"format": "pt"})
