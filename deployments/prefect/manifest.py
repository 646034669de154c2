"""Reading `prefect.yaml`, the one source of all deployments.

What is read here is the part of Prefect's own format that this project uses; a key that is not
known is an error, where Prefect would ignore it in silence.
"""

from __future__ import annotations

import os
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import ConfigDict, Field, ValidationError, model_validator

from agents.configuration import Config
from agents.errors import ConfigError, UsageError

FILE = Path(__file__).resolve().parents[2] / "prefect.yaml"
"""The file of this checkout."""
TAG = "evolvesearch"
"""Tag of every deployment, by which the automation knows its runs."""


class Schedule(Config):
    """When a deployment runs by itself, with which parameters on top of the deployment's own."""

    slug: str
    cron: str | None = None
    interval: float | None = Field(default=None, gt=0.0)
    rrule: str | None = None
    timezone: str = "UTC"
    active: bool = False
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if sum(each is not None for each in (self.cron, self.interval, self.rrule)) != 1:
            raise ValueError("expected one of cron, interval and rrule")
        return self


class WorkPool(Config):
    """The pool that a deployment's runs wait in."""

    name: str
    job_variables: dict[str, Any] = Field(default_factory=dict)


class Concurrency(Config):
    """How many runs of a deployment there may be at once, and what becomes of a further one."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"] = "ENQUEUE"


class Deployment(Config):
    """One deployment."""

    name: str
    description: str
    entrypoint: str = Field(pattern=r"^[A-Za-z_][\w.]*$")
    version: str
    tags: list[str]
    enforce_parameter_schema: bool
    parameters: dict[str, Any]
    work_pool: WorkPool
    concurrency_limit: Concurrency | None = None
    schedules: list[Schedule] = Field(default_factory=list)

    @model_validator(mode="after")
    def _is_tagged(self) -> Self:
        if TAG not in self.tags:
            raise ValueError(f"tags: expected {TAG!r} among them; the automation goes by it")
        return self


class Manifest(Config):
    """The whole file; `definitions` and the steps are for Prefect and for YAML's anchors."""

    model_config = ConfigDict(extra="forbid")

    definitions: dict[str, Any] = Field(default_factory=dict)
    build: list[Any] = Field(default_factory=list)
    pull: list[Any] = Field(default_factory=list, max_length=0)
    deployments: list[Deployment] = Field(min_length=1)


def read_manifest(file: Path = FILE) -> list[Deployment]:
    """The deployments of a file, each with the version of the code in place of its template.

    Raises:
        UsageError: The file cannot be read.
        ConfigError: It is not what is expected of it; the first fault is named.
    """
    try:
        document = yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not valid YAML: {error}") from error
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{file}: {_first_fault(error, document)}") from error
    version = code_version(FILE.parent)
    return [each.model_copy(update={"version": version}) for each in manifest.deployments]


def _first_fault(error: ValidationError, document: Any) -> str:
    """Names the deployment, not its place in the list."""
    fault = error.errors()[0]
    place = list(fault["loc"])
    if len(place) > 1 and place[0] == "deployments" and isinstance(place[1], int):
        given = document["deployments"][place[1]]
        entry = given if isinstance(given, dict) else {}
        place[:2] = [f"deployment {entry.get('entrypoint', place[1])} ({entry.get('name')})"]
    return f"{'.'.join(map(str, place))}: {fault['msg'].removeprefix('Value error, ')}"


def code_version(folder: Path) -> str:
    """The commit of a checkout, with `-dirty` where files were changed; else the package's version.

    An image has no history: `EVOLVESEARCH_VERSION` holds what it was built from.
    """
    if given := os.environ.get("EVOLVESEARCH_VERSION"):
        return given
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return metadata.version("evolvesearch")
    return done.stdout.strip()
