"""What `evolvesearch doctor` looks at of the packages installed: tested versions, known clashes."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path

from deployments.cli.checks import Check

CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"
"""The tested versions, in a checkout; an installed wheel has no such file."""

Version = tuple[int, ...]


@dataclass(frozen=True)
class Clash:
    """Versions of two packages that are known not to work together.

    Attributes:
        first: A package.
        below: It clashes in versions below this one.
        second: The other.
        since: It clashes from this version on.
        what: What happens.
    """

    first: str
    below: Version
    second: str
    since: Version
    what: str


CLASHES = (
    Clash(
        "prefect",
        (3, 9),
        "fastapi",
        (0, 155),
        "Prefect's server does not start: Body() got an unexpected keyword argument 'min_items'",
    ),
)
"""Found by trying, beyond what the packages say of each other."""


def that_work_together() -> Check:
    """Whether none of the installed packages is known to clash with another."""
    for clash in CLASHES:
        first, second = installed(clash.first), installed(clash.second)
        if first and second and version(first) < clash.below and version(second) >= clash.since:
            found = f"{clash.first} {first} with {clash.second} {second}: {clash.what}"
            return Check("known clashes", "fail", found, "make install")
    return Check("known clashes", "ok", "none")


def installed(package: str) -> str:
    """The installed version of a package, empty where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def version(text: str) -> Version:
    """A version as numbers that compare: `3.8.8` as (3, 8, 8); what follows them is left out."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, match[0].split("."))) if match else ()


def as_tested(path: Path = CONSTRAINTS) -> Check:
    """Whether the installed packages are the ones that are tested together."""
    if not path.exists():
        return Check("versions", "ok", "no constraints.txt here to compare with")
    others = []
    for name, wanted in pinned(path).items():
        found = installed(name)
        # What is not installed belongs to an extra.
        if found and found.partition("+")[0] != wanted:
            others.append(f"{name} {found} (tested: {wanted})")
    if not others:
        return Check("versions", "ok", f"as in {path.name}")
    return Check("versions", "warn", ", ".join(others), "make install")


def pinned(path: Path) -> dict[str, str]:
    """Reads the exact versions of a constraints file, by package name."""
    rows = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;#]+)", path.read_text("utf-8"), re.MULTILINE)
    return dict(rows)
