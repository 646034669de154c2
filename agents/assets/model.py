"""Turns the name of a model into a plain Hugging Face folder on this machine.

Three kinds of name are understood: the bundled `smollm2-135m-instruct`, a local folder, and a
Hub id such as `Qwen/Qwen2.5-0.5B-Instruct`. Weights are read from safetensors alone, never from
pickles, and code that a repository brings along is never executed.
"""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from agents.assets.fetch import cache_dir, ensure_asset
from agents.assets.files import ensure_folder
from agents.assets.hub_errors import transport_error
from agents.errors import AssetError, UsageError
from agents.progress import progress

BUNDLED_MODEL = "smollm2-135m-instruct"

_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_CONTEXT_TOKENS = 8192
# Raised when the conversion changes, so that folders made by an older one are left aside.
_CONVERSION = 1
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "*.txt", "tokenizer.model"]


def ensure_model(model: str) -> Path:
    """Returns the folder of a model, making or downloading it first where that is needed.

    Args:
        model: `smollm2-135m-instruct`, a local folder, or a Hub id.

    Returns:
        A folder with `config.json`, `*.safetensors`, tokenizer and chat template.

    Raises:
        UsageError: There is no such model, or its folder is incomplete.
        AssetError: It could not be fetched.
    """
    if model == BUNDLED_MODEL:
        return ensure_folder(
            cache_dir() / "models" / f"{BUNDLED_MODEL}-v{_CONVERSION}", _convert_bundled
        )
    found = local_model(model)
    if found is None:
        found = _from_hub(model)
        check_model_folder(found)
    return found


def fetched_model(model: str) -> Path | None:
    """The folder of a model's `config.json` where it lies on this machine; fetches nothing.

    Args:
        model: As `ensure_model` takes it.

    Raises:
        UsageError: There can be no such model, or its folder is incomplete.
    """
    if model == BUNDLED_MODEL:
        folder = cache_dir() / "models" / f"{BUNDLED_MODEL}-v{_CONVERSION}"
        return folder if folder.is_dir() else None
    if (named := local_model(model)) is not None:
        return named
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def local_model(model: str) -> Path | None:
    """Checks a model's name without fetching anything.

    Args:
        model: As `ensure_model` takes it.

    Returns:
        The model's folder where it names a local one, None where it has to be fetched.

    Raises:
        UsageError: There can be no such model, or its folder is incomplete.
    """
    if model == BUNDLED_MODEL:
        return None
    folder = Path(model).expanduser()
    if folder.is_dir():
        check_model_folder(folder)
        return folder.absolute()
    if folder.exists():
        raise UsageError(f"model {model} is a file; expected a Hugging Face model folder")
    if _HUB_ID.fullmatch(model) is None or model.startswith("."):
        raise UsageError(
            f"there is no model folder {model}; expected {BUNDLED_MODEL}, a folder with "
            "config.json and *.safetensors, or a Hub id such as Qwen/Qwen2.5-0.5B-Instruct"
        )
    return None


def check_model_folder(folder: Path) -> None:
    """Checks that a folder holds a model that can be loaded, without loading it.

    Raises:
        UsageError: `config.json`, the tokenizer or the safetensors weights are missing, or
            damaged so that their headers do not match their sizes.
    """
    _read_json(folder / "config.json", folder)
    shards = sorted(folder.glob("*.safetensors"))
    if not shards:
        others = [p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pth", ".gguf"}]
        hint = f" ({', '.join(sorted(others)[:3])} cannot be used)" if others else ""
        raise UsageError(f"model folder {folder} holds no *.safetensors weights{hint}")
    index = folder / "model.safetensors.index.json"
    if index.exists():
        named = set(_read_json(index, folder).get("weight_map", {}).values())
        missing = sorted(named - {shard.name for shard in shards})
        if missing:
            raise UsageError(f"model folder {folder} lacks the weights {missing[0]}")
    for shard in shards:
        _check_safetensors(shard)
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model")):
        raise UsageError(f"model folder {folder} holds no tokenizer (tokenizer.json)")


def _read_json(path: Path, folder: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UsageError(f"model folder {folder} holds no {path.name}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} does not hold a JSON object")
    return content


def _check_safetensors(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise UsageError(f"weights {path} are damaged: {error}") from error


def _convert_bundled(folder: Path) -> None:
    """Writes the 4-bit GGUF as bfloat16 safetensors; the rounding of its 4 bits stays."""
    source = ensure_asset("smollm2")
    with progress("convert SmolLM2-135M-Instruct", 3, "steps") as bar:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

        bar.advance()
        # Transformers draws bars of its own on standard error; this block has one already.
        with redirect_stderr(io.StringIO()):
            # Dequantized on load: packed weights can be neither saved nor trained.
            model = AutoModelForCausalLM.from_pretrained(
                source,
                gguf_file=_GGUF,
                quantization_config=GgufConfig(dequantize=True),
                dtype=torch.bfloat16,
            )
            tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=_GGUF)
            bar.advance()
            model.config.name_or_path = "SmolLM2-135M-Instruct"
            tokenizer.model_max_length = _CONTEXT_TOKENS
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            bar.advance()
    check_model_folder(folder)


def _from_hub(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        with progress(f"fetch {model} from the Hub", None, "bytes"):
            return Path(snapshot_download(model, allow_patterns=_HUB_FILES))
    except GatedRepoError as error:
        raise UsageError(
            f"the Hub gives {model} only to accounts that accepted its terms; log in with `hf auth "
            "login`"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise UsageError(f"there is no folder {model}, and no such model on the Hub") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, transport_error(), OSError) as error:
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else ""
        raise AssetError(
            f"there is no folder {model}, and the Hub gave no such model ({reason}); check the "
            "name and the network"
        ) from error
