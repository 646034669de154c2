"""What `evolvesearch doctor` looks at on this machine: processor, memory, disks, inputs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from deployments.cli.checks import Check
from deployments.cli.options import local_folder

if TYPE_CHECKING:
    from tasks.storage.config import StoreConfig

_GIB = 1 << 30
_MIN_MEMORY_GIB = 8
_MIN_DISK_GIB = 10
_MIN_PREFECT_GIB = 1


def python_version() -> Check:
    """The Python that runs this."""
    return Check("python", "ok", f"{platform.python_version()} ({sys.executable})")


def cores() -> Check:
    """Processor cores that this process may use."""
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Check("cores", "ok", f"{num_cores} ({_processor()})")


def memory() -> Check:
    """Memory: what there is, and what a new program could take."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # The kernel's own figure counts what it would give back; elsewhere pages without use do.
    if match := re.search(r"^MemAvailable:\s*(\d+) kB$", _text("/proc/meminfo"), re.MULTILINE):
        free = int(match[1]) * 1024
    found = f"{total / _GIB:.1f} GiB, {free / _GIB:.1f} GiB free"
    if free >= _MIN_MEMORY_GIB * _GIB:
        return Check("memory", "ok", found)
    return Check("memory", "warn", found, f"profile laptop takes up to {_MIN_MEMORY_GIB} GiB")


def disks(config: StoreConfig) -> Iterator[Check]:
    """Free disk space where the store lies and where Prefect keeps its database and results.

    Args:
        config: The store; of one on object storage it is the cache that takes space here.
    """
    from prefect.settings import PREFECT_HOME

    from agents.assets.files import cache_dir

    local = local_folder(config.uri)
    store = local if local is not None else Path(config.cache or cache_dir())
    hint = f"a run of profile laptop wants {_MIN_DISK_GIB} GiB; --store names another place"
    yield free_space("store's disk" if local else "cache's disk", store, _MIN_DISK_GIB, hint)
    hint = "PREFECT_HOME names another place; old flow runs can be deleted in the UI"
    yield free_space("Prefect's disk", Path(PREFECT_HOME.value()), _MIN_PREFECT_GIB, hint)


def free_space(name: str, folder: Path, wanted_gib: float, hint: str) -> Check:
    """Free space on the disk of a folder that need not exist yet.

    Args:
        name: Name of the check.
        folder: The folder.
        wanted_gib: Below so much it is a warning.
        hint: What to do then.
    """
    folder = folder.expanduser().absolute()
    there = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(there).free / _GIB
    if free >= wanted_gib:
        return Check(name, "ok", f"{free:.0f} GiB free at {folder}")
    return Check(name, "warn", f"{free:.1f} GiB free at {folder}", hint)


def fast_bf16() -> Check:
    """Whether the processor multiplies bfloat16 in hardware."""
    flags = _cpu_flags()
    fast = [flag for flag in ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16") if flag in flags]
    if fast:
        return Check("bf16", "ok", ", ".join(fast))
    if not flags:
        return Check("bf16", "ok", "the processor's features cannot be read here")
    hint = "runs work in float32, two to three times slower; engine.dtype is chosen by itself"
    return Check("bf16", "warn", "no bfloat16 in hardware", hint)


def chromium() -> Check:
    """A Chromium for the browser tests."""
    if path := find_chromium():
        return Check("chromium", "ok", str(path))
    hint = "only the browser tests need it: make chromium"
    return Check("chromium", "warn", "none found", hint)


def find_chromium() -> Path | None:
    """Looks where the browser tests look: $EVOLVESEARCH_CHROMIUM, the system's, Playwright's."""
    if named := os.environ.get("EVOLVESEARCH_CHROMIUM"):
        return Path(named) if os.access(named, os.X_OK) else None
    if os.access(system := "/usr/bin/chromium", os.X_OK):
        return Path(system)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    return own if own.exists() else None


def cached_assets() -> Check:
    """Which inputs lie in the cache folder."""
    from agents.assets.fetch import is_fetched
    from agents.assets.files import cache_dir
    from agents.assets.table import ASSETS

    missing = [asset.name for asset in ASSETS if not is_fetched(asset.name)]
    if not missing:
        return Check("assets", "ok", f"all {len(ASSETS)} in {cache_dir()}")
    hint = "fetched when first needed, or now: evolvesearch assets"
    return Check("assets", "warn", f"not fetched yet: {', '.join(missing)}", hint)


def search_keys() -> Check:
    """Which search providers have their key in the environment; the keys are not shown."""
    from agents.web.search.providers import PROVIDERS

    names = [p.key_variable for p in PROVIDERS.values() if p.key_variable]
    found = [name for name in names if os.environ.get(name, "").strip()]
    return Check("search keys", "ok", f"{', '.join(found)} set" if found else "none set")


def _processor() -> str:
    if match := re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE):
        return match[1].strip()
    return platform.processor() or platform.machine()


def _cpu_flags() -> frozenset[str]:
    match = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    return frozenset(match[1].split()) if match else frozenset()


def _text(path: str) -> str:
    """The text of a file of the kernel, empty where there is none (not on Linux)."""
    return Path(path).read_text("utf-8", errors="replace") if Path(path).exists() else ""
