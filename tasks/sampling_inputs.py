"""What a stage that samples depends on, beyond its inputs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from agents.errors import UsageError
from tasks.config import StageConfig


def sampling_sections(config: StageConfig) -> dict[str, Any]:
    """The sections of the configuration that every sampled token depends on.

    A prompt that is a file of one's own counts by its content.
    """
    return {
        "agents": config.agents,
        "engine": config.engine,
        "web": config.web.that_matters,
        "prompt": prompt_digest(config),
    }


def prompt_digest(config: StageConfig) -> str:
    """Digest of the prompt file, empty for a prompt that comes with the package."""
    path = Path(config.agents.prompt).expanduser()
    if path.suffix == "" or not path.is_file():
        return ""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"prompt {path}: cannot be read ({error.strerror})") from error


def ids_digest(ids: list[str]) -> str:
    """Digest of a choice of questions, in order."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()
