"""The page of configuration keys says what the code says."""

from __future__ import annotations

from pathlib import Path

from deployments.configuration_page import render
from flows.config import EvolutionConfig
from flows.profiles import config_keys

PAGE = Path(__file__).resolve().parents[3] / "docs" / "configuration.md"


def test_the_page_is_what_the_code_generates() -> None:
    """Where it fails: python -m deployments.configuration_page > docs/configuration.md."""
    assert PAGE.read_text("utf-8") == render()


def test_the_page_has_every_key_with_its_effect() -> None:
    lines = render().splitlines()
    for key in config_keys(EvolutionConfig):
        last = key.rpartition(".")[2]
        rows = [line for line in lines if line.startswith((f"| `{last}` |", f"## `{key}`"))]
        assert rows, key
        assert not any(row.endswith("|  |") for row in rows), key
