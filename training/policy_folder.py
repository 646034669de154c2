"""Loading a policy to train and saving it as a plain model folder, in full precision.

Weights are trained and saved in fp32: a small learning rate changes most weights by less than
bf16 can tell apart, so a policy saved in bf16 would lose much of what it learnt.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from agents.errors import StageError, UsageError
from training.config import TrainingConfig
from training.launch.world import ALONE, World
from training.packing import ATTENTION, supports_packing
from training.weights import kept_weights, plain_model

_REPLACED = ("*.safetensors", "*.safetensors.index.json", "config.json")


def resolve_device(config: TrainingConfig) -> Literal["cpu", "cuda"]:
    """Picks the device.

    Raises:
        UsageError: `cuda` is asked for and there is none.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("training.device is cuda, but torch sees no CUDA device: use auto or cpu")
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return config.device


def resolve_precision(config: TrainingConfig) -> Literal["bf16", "fp32"]:
    """Picks the arithmetic; `auto` takes bf16 where the hardware has instructions for it."""
    if config.precision != "auto":
        return config.precision
    if resolve_device(config) == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    capabilities = torch.cpu.get_capabilities()
    native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return "bf16" if native else "fp32"


def load_policy(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a policy in fp32 with the attention of packed batches.

    Raises:
        UsageError: The folder does not hold a model, or not all of its weights.
        StageError: Its architecture is not one that training knows how to pack.
    """
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder} is not a model folder: it has no config.json")
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, SafetensorError) as error:
        line = str(error).strip().split("\n", 1)[0]
        raise UsageError(f"cannot load the model in {folder}: {line}") from error
    model: PreTrainedModel = loaded[0]
    # The library would make them up, with a warning at most.
    if lacking := sorted(loaded[1]["missing_keys"]):
        raise UsageError(
            f"the model in {folder} lacks {len(lacking)} of its weights, such as {lacking[0]}: "
            "fetch or copy it again"
        )
    if not supports_packing(model):
        raise StageError(
            f"cannot train {model.config.model_type} models with special attention layers: "
            "expected a Llama, Qwen2 or Qwen3 with full attention"
        )
    model.set_attn_implementation(ATTENTION)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    return model, tokenizer


def save_policy(
    model: torch.nn.Module, source: Path, output_dir: Path, world: World = ALONE
) -> Path:
    """Writes the weights as fp32 safetensors and copies everything else from `source`.

    Adapters are merged into the weights that they change, and shares of several ranks are gathered:
    every rank has to call this, and the main one writes.

    Settings, tokenizer and chat template are the very files of the source policy, so that training
    can never change how text becomes tokens; the trainers alter them in memory.

    Raises:
        StageError: The folder could not be written.
    """
    weights = {
        name: tensor.float() for name, tensor in kept_weights(model, keep=world.is_main).items()
    }
    if not world.is_main:
        return output_dir
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        plain_model(model).save_pretrained(output_dir, state_dict=weights)
        for file in source.iterdir():
            if file.is_file() and not any(file.match(pattern) for pattern in _REPLACED):
                shutil.copyfile(file, output_dir / file.name)
        settings = json.loads((source / "config.json").read_text())
        settings.pop("torch_dtype", None)
        (output_dir / "config.json").write_text(
            json.dumps(settings | {"dtype": "float32"}, indent=2, sort_keys=True) + "\n"
        )
    except OSError as error:
        raise StageError(f"could not save the policy to {output_dir}: {error}") from error
    return output_dir
