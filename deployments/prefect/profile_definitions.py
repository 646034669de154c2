"""Writes the profiles' configurations into `prefect.yaml`: `python -m ... prefect.yaml`.

Deployments hold what their profile's TOML file says and nothing more: Prefect's form shows the
defaults of all other keys from the flow's schema. A test holds the file to the profiles.
"""

from __future__ import annotations

import sys
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

BEGIN, END = "# profiles: begin\n", "# profiles: end\n"
PROFILES = ("laptop", "smoke", "paper")
"""Profiles that deployments use."""


def with_definitions(text: str) -> str:
    """The text of a `prefect.yaml` with the profiles of today between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{_definitions()}{END}{after}"


def _definitions() -> str:
    lines = ["definitions:\n"]
    for name in PROFILES:
        body = yaml.dump(_document(name), sort_keys=False, default_flow_style=False, width=96)
        lines.append(f"  {name}: &{name}\n")
        lines += [f"    {line}\n" for line in body.splitlines()]
    return "".join(lines)


def _document(profile: str) -> dict[str, Any]:
    text = (resources.files("deployments") / "profiles" / f"{profile}.toml").read_text("utf-8")
    return {"profile": profile, **tomllib.loads(text)}


def main(path: str) -> None:
    """Writes the file anew where the profiles have changed."""
    file = Path(path)
    text = file.read_text("utf-8")
    if (fresh := with_definitions(text)) != text:
        file.write_text(fresh, "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
