"""Loading a profile: a TOML file of overrides, then `KEY=VALUE` settings, into a checked config."""

from __future__ import annotations

import copy
import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from agents.configuration import Config
from agents.errors import ConfigError
from flows.config import EvolutionConfig

# What pydantic would say of these speaks of Python's types, not of what is to be written.
_EXPECTED = {
    "model_type": "expected a section of keys, not a single value",
    "tuple_type": 'expected a list, such as ["one", "two"]',
    "dict_type": 'expected a table, such as { name = "value" }',
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
}


def profile_names() -> list[str]:
    """Names of the profiles that come with the package."""
    folder = resources.files("deployments") / "profiles"
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    )


def load_profile(
    name_or_path: str, overrides: Sequence[str] | Mapping[str, Any] = ()
) -> EvolutionConfig:
    """Loads a profile and applies settings on top.

    Args:
        name_or_path: A shipped profile's name, or the path of a TOML file.
        overrides: `KEY=VALUE` texts with dotted keys (`rollout.num_questions=8`), values written
            as TOML or plain text, `none` for None; or a mapping of dotted keys to values.

    Raises:
        ConfigError: Unknown profile or key, or a value of the wrong type or out of bounds; one
            line that names the key, what came and what was expected.
    """
    name, document = _read_profile(name_or_path)
    return from_document({**document, "profile": name}, overrides)


def from_document(
    document: Mapping[str, Any], overrides: Sequence[str] | Mapping[str, Any] = ()
) -> EvolutionConfig:
    """Checks a configuration of nested values, such as a run's record holds, with settings on top.

    Args:
        document: The configuration, or part of it; left as it is.
        overrides: As `load_profile` takes them.

    Raises:
        ConfigError: As `load_profile` says.
    """
    given = dict(overrides) if isinstance(overrides, Mapping) else parse_settings(overrides)
    return _checked(copy.deepcopy(dict(document)), given)


def with_settings(config: EvolutionConfig, settings: Mapping[str, Any]) -> EvolutionConfig:
    """Applies settings on top of a configuration.

    Args:
        config: The configuration.
        settings: Values by dotted key (`{"rl.num_steps": 3}`).

    Raises:
        ConfigError: As `load_profile` says.
    """
    return _checked(config.model_dump(), settings) if settings else config


def _checked(document: dict[str, Any], given: Mapping[str, Any]) -> EvolutionConfig:
    """Puts settings by dotted key into a document, and checks the whole."""
    settings = {_main_key(key, value): value for key, value in given.items()}
    known = list(config_keys(EvolutionConfig))
    for key, value in settings.items():
        if key not in known:
            raise ConfigError(_unknown_key(key, known))
        _put(document, key, _value_of(value))
    try:
        return EvolutionConfig.model_validate(document)
    except ValidationError as first:
        # `--set agents.prompt=7` means text: a value that does not fit as TOML is tried as given.
        for key in {_key_of(error["loc"], known) for error in first.errors()} & set(settings):
            _put(document, key, settings[key])
    try:
        return EvolutionConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(_explain(error, known)) from error


def config_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """All dotted keys of a configuration class, sections included."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        yield key
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from config_keys(kind, f"{key}.")


def _main_key(key: str, value: Any) -> str:
    """The key that is meant: a section's main key where a text stands for the whole section."""
    section: Any = EvolutionConfig
    for name in key.split("."):
        field = section.model_fields.get(name)
        section = None if field is None else field.annotation
        if not (isinstance(section, type) and issubclass(section, Config)):
            return key
    alone = section.main_key and not isinstance(_value_of(value), Mapping)
    return f"{key}.{section.main_key}" if alone else key


def _read_profile(name_or_path: str) -> tuple[str, dict[str, Any]]:
    path = Path(name_or_path)
    if name_or_path in profile_names():
        name = name_or_path
        text = (resources.files("deployments") / "profiles" / f"{name}.toml").read_text("utf-8")
    elif path.suffix == ".toml":
        name = path.stem
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"cannot read profile {name_or_path}: {reason}") from error
    else:
        known = profile_names()
        raise ConfigError(
            f"unknown profile {name_or_path!r}{_near(name_or_path, known)}; "
            f"expected one of {', '.join(known)}, or the path of a .toml file"
        )
    try:
        return name, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"profile {name_or_path} is not valid TOML: {error}") from error


def parse_settings(texts: Sequence[str]) -> dict[str, str]:
    """Reads `KEY=VALUE` texts into settings by dotted key.

    Raises:
        ConfigError: One of them is not of that form.
    """
    settings = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"--set {text!r}: expected KEY=VALUE, such as rl.num_steps=5")
        settings[key.strip()] = value.strip()
    return settings


def _value_of(value: Any) -> Any:
    """Reads a setting's text as a TOML value where it is one."""
    if not isinstance(value, str):
        return value
    if value.lower() in ("none", "null"):
        return None
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def _put(document: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for depth, section in enumerate(sections):
        below: Any = document.setdefault(section, {})
        if not isinstance(below, dict):
            above = ".".join(sections[: depth + 1])
            raise ConfigError(f"config key {above!r}: got a single value, expected a section")
        document = below
    document[last] = value


def _near(name: str, known: Sequence[str]) -> str:
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def _unknown_key(key: str, known: Sequence[str]) -> str:
    hint = _near(key, known)
    if not hint:
        section = key.rpartition(".")[0] + "."
        siblings = [other for other in known if other.startswith(section) and section != "."]
        hint = f"; keys there: {', '.join(siblings[:12])}" if siblings else ""
    return f"unknown config key {key!r}{hint}"


def _key_of(location: tuple[int | str, ...], known: Sequence[str]) -> str:
    """The config key an error belongs to: the longest known one, without indices and variants."""
    names = [part for part in location if isinstance(part, str)]
    for length in range(len(names), 0, -1):
        if (key := ".".join(names[:length])) in known:
            return key
    return ".".join(names)


def _explain(error: ValidationError, known: Sequence[str]) -> str:
    details = error.errors()[0]
    if details["type"] == "extra_forbidden":
        return _unknown_key(".".join(str(part) for part in details["loc"]), known)
    message = details["msg"].removeprefix("Value error, ")
    key = _key_of(details["loc"], known)
    if isinstance(details["input"], dict | BaseModel) and details["type"] == "value_error":
        return f"config section {key!r}: {message}" if key else f"config: {message}"
    expected = _EXPECTED.get(details["type"]) or f"{message[0].lower()}{message[1:]}"
    return f"config key {key!r}: got {details['input']!r}; {expected}"
