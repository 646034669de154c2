"""A model behind an API as a policy: its name, and the tokenizer that conversations are kept with.

It has an artifact and a digest like any other, so that its answers are its own in every table and
never those of the model that only lent its tokenizer.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from agents.assets.model import ensure_model
from agents.errors import UsageError
from tasks.artifacts import ArtifactStore
from tasks.config import TINY_MODEL, StageConfig
from tasks.manifest import ArtifactRef
from tasks.policies import API_FILE, API_PREFIX, policy_digest
from tasks.references import resolve
from tasks.schemas import POLICIES

_without_weights = shutil.ignore_patterns("*.safetensors", "*.safetensors.index.json")


def policy_to_ask(store: ArtifactStore, config: StageConfig, text: str) -> ArtifactRef:
    """The policy that a reference names, or the model behind an API that `openai:MODEL` names.

    Args:
        store: The store; a model behind an API is taken into it.
        config: Says which API, and whose tokenizer.
        text: `openai:MODEL`, or what `resolve` understands.

    Raises:
        UsageError: Nothing is named so, or the engine asks another model.
        AssetError: The tokenizer could not be fetched.
    """
    if not text.startswith(API_PREFIX):
        return resolve(store, POLICIES, text)
    model, api = text.removeprefix(API_PREFIX), config.engine.openai
    if config.engine.kind != "openai" or api.model != model:
        asked = api.model if config.engine.kind == "openai" else f"engine {config.engine.kind}"
        raise UsageError(
            f"policy {text} needs engine.kind=openai and engine.openai.model={model}, got {asked}"
        )
    if config.model == TINY_MODEL:
        raise UsageError(
            f"policy {text}: conversations are kept with the tokenizer of `model`, and the tiny "
            "model has none before a run made it; set model=smollm2-135m-instruct"
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "policy"
        shutil.copytree(ensure_model(config.model), folder, ignore=_without_weights)
        (folder / API_FILE).write_text(json.dumps({"model": model, "url": api.url}))
        key = f"import-{policy_digest(folder)[:32]}"
        return store.write_policy(folder, stage_key=key, metadata={"source": text})
