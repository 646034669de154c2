"""The options that commands share: which configuration, which store, which output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import click

from agents.errors import UsageError

if TYPE_CHECKING:
    from flows.config import EvolutionConfig
    from tasks.artifacts import ArtifactStore
    from tasks.storage.config import StoreConfig

DEFAULT_PROFILE = "laptop"


@dataclass(frozen=True)
class Settings:
    """What the shared options said.

    Attributes:
        profile: Profile's name or path; None where none was named.
        overrides: `KEY=VALUE` texts, in order.
        store: The store's URI; None: as the configuration says.
        json: Whether standard output is to hold one JSON document and nothing else.
        debug: Whether all logs are wanted.
    """

    profile: str | None
    overrides: tuple[str, ...]
    store: str | None
    json: bool
    debug: bool

    def config(self, profile: str | None = None) -> EvolutionConfig:
        """Loads the configuration.

        Args:
            profile: Used where no profile was named; None: the default profile.

        Raises:
            ConfigError: The profile or a setting is unknown or out of bounds.
        """
        from flows.profiles import load_profile

        overrides = list(self.overrides)
        if self.store is not None:
            overrides.append(f"store.uri={self.store}")
        chosen = self.profile if self.profile is not None else profile or DEFAULT_PROFILE
        return load_profile(chosen, overrides)

    def existing_store(self, config: StoreConfig) -> ArtifactStore:
        """Opens a store to read from it.

        Raises:
            UsageError: There is none.
            StoreError: It cannot be reached.
        """
        from tasks.artifacts import ArtifactStore

        if not store_exists(config.uri):
            raise UsageError(
                f"no store at {config.uri}: `evolvesearch run` makes one, --store names another"
            )
        return ArtifactStore.open(config)


def store_exists(uri: str) -> bool:
    """Whether a local folder of that name is there; a remote store is taken to be."""
    folder = local_folder(uri)
    return folder is None or folder.exists()


def local_folder(uri: str) -> Path | None:
    """The folder that a store's URI names; None where it lies on object storage."""
    parsed = urlparse(uri)
    if parsed.scheme == "file":
        return Path(unquote(parsed.path))
    return None if "://" in uri else Path(uri).expanduser()


_PROFILE = click.option(
    "--profile",
    "-p",
    metavar="P",
    help=f"Profile's name, or the path of a .toml file  [default: {DEFAULT_PROFILE}]",
)
_SET = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a configuration key, such as rl.num_steps=5; can be repeated.",
)
_STORE = click.option("--store", metavar="URI", help="Folder or URI of the artifact store.")
_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document, nothing else."
)
_DEBUG = click.option("--debug", is_flag=True, help="Show tracebacks and all logs.")


def shared_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--profile`, `--set`, `--store`, `--json` and `--debug`; gives a `settings` argument."""
    return _with_settings(function, (_PROFILE, _SET, _STORE, _JSON, _DEBUG))


def config_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--profile`, `--set` and `--debug` alone, for what neither reads a store nor answers."""
    return _with_settings(function, (_PROFILE, _SET, _DEBUG))


def _with_settings(
    function: Callable[..., Any], options: Sequence[Callable[[Any], Any]]
) -> Callable[..., Any]:
    @wraps(function)
    def gather(
        profile: str | None,
        overrides: tuple[str, ...],
        debug: bool,
        store: str | None = None,
        as_json: bool = False,
        **others: Any,
    ) -> Any:
        return function(settings=Settings(profile, overrides, store, as_json, debug), **others)

    # Click lists the options in reverse: what is added first comes last, after the command's own.
    own = getattr(function, "__click_params__", [])
    decorated: Any = gather
    decorated.__click_params__ = []
    for option in reversed(options):
        decorated = option(decorated)
    decorated.__click_params__ += own
    return decorated  # type: ignore[no-any-return]


def reuse_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--no-reuse`, `--redo` and `--name`, for commands that run stages."""
    for option in reversed(
        (
            click.option(
                "--name",
                metavar="N",
                help="Name of the run; the same name resumes it  [default: from the settings]",
            ),
            click.option(
                "--no-reuse", is_flag=True, help="Run every stage anew, even if it has a result."
            ),
            click.option(
                "--redo",
                metavar="STAGE",
                multiple=True,
                help="Run this stage anew, such as rollout; can be repeated.",
            ),
        )
    ):
        function = option(function)
    return function
