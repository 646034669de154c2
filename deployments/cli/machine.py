"""What `evolvesearch doctor` looks at: one function a check, none of which changes anything."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents.errors import EvolveSearchError
from deployments.cli.options import store_exists

if TYPE_CHECKING:
    from flows.config import EvolutionConfig
    from tasks.storage.config import StoreConfig

CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"
"""The tested versions, in a checkout; an installed wheel has no such file."""

_GIB = 1 << 30
_MIN_MEMORY_GIB = 8
_MIN_DISK_GIB = 10


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: What was looked at.
        status: `ok`, `warn` (works, but slower or less) or `fail` (runs will not work).
        found: What was found.
        hint: What to do about it; empty where there is nothing to do.
    """

    name: str
    status: str
    found: str
    hint: str = ""


def all_checks(config: EvolutionConfig) -> Iterator[Check]:
    """Makes all checks, the quick ones first.

    Args:
        config: Names the store that is looked for.
    """
    yield python_version()
    yield cores()
    yield memory()
    yield disk()
    yield fast_bf16()
    yield from torch_and_gpu()
    yield from training_memory(config)
    yield chromium()
    yield cached_assets()
    yield search_keys()
    yield store(config.store)
    yield prefect_api()
    yield versions()


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


def disk() -> Check:
    """Free disk space below the current folder."""
    free = shutil.disk_usage(Path.cwd()).free / _GIB
    if free >= _MIN_DISK_GIB:
        return Check("disk", "ok", f"{free:.0f} GiB free here")
    hint = f"a run of profile laptop wants {_MIN_DISK_GIB} GiB; --store names another place"
    return Check("disk", "warn", f"{free:.1f} GiB free here", hint)


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


def torch_and_gpu() -> Iterator[Check]:
    """The build of torch, and the accelerator it sees."""
    try:
        import torch
    except ImportError as error:
        yield Check("torch", "fail", f"cannot be imported: {error}", "make install")
        return
    yield Check("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        yield Check("gpu", "ok", ", ".join(names))
    elif shutil.which("nvidia-smi"):
        hint = "make install TORCH=gpu installs the build of torch that can"
        yield Check("gpu", "warn", "there is one, but this build of torch cannot use it", hint)
    else:
        yield Check("gpu", "ok", "none; everything runs on the CPU")


def training_memory(config: EvolutionConfig) -> Iterator[Check]:
    """What SFT and RL of this configuration may take of the memory that is free."""
    from agents.assets.model import fetched_model
    from tasks.config import TINY_MODEL
    from tasks.training_memory import training_needs
    from training.memory_check import advice
    from training.memory_limits import free_memory
    from training.model_shape import ModelShape

    # Of an accelerator it is known when a stage starts on it how much is free.
    if config.model == TINY_MODEL or not _trains_on_cpu(config):
        return
    try:
        folder = fetched_model(config.model)
        if folder is None:
            found = f"not known before {config.model} is fetched"
            yield Check("training memory", "ok", found, "evolvesearch assets")
            return
        shape = ModelShape.of_folder(folder)
    except EvolveSearchError as error:
        yield Check("training memory", "fail", str(error))
        return
    bf16 = config.training.precision != "fp32" and fast_bf16().status == "ok"
    free = free_memory()
    for need in training_needs(config, shape, bf16=bf16, device="cpu"):
        name = f"{need.stage} memory"
        found = f"up to {need.worst}"
        if free is None or need.num_bytes <= free:
            yield Check(name, "ok", found)
        else:
            hint = f"only {free / _GIB:.2f} GiB are free: {advice(need, free)}"
            yield Check(name, "warn", found, hint)


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


def store(config: StoreConfig) -> Check:
    """Whether the artifact store can be opened."""
    from tasks.artifacts import ArtifactStore

    if not store_exists(config.uri):
        return Check("store", "ok", f"{config.uri} (made by the first run)")
    try:
        artifacts = ArtifactStore.open(config)
        found = f"{artifacts.uri}, {len(artifacts.manifests())} artifacts"
    except EvolveSearchError as error:
        return Check("store", "fail", str(error), "--store names another place")
    return Check("store", "ok", found)


def prefect_api() -> Check:
    """Prefect's server: the one that is named, or the one that a run starts for itself."""
    import httpx
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    if not url:
        return Check("prefect", "ok", "no server named; a run starts one for itself")
    try:
        httpx.get(f"{url}/health", timeout=3).raise_for_status()
    except httpx.HTTPError as error:
        hint = "start it (prefect server start), or unset PREFECT_API_URL"
        return Check("prefect", "fail", f"{url} does not answer: {error}", hint)
    return Check("prefect", "ok", url)


def versions(path: Path = CONSTRAINTS) -> Check:
    """Whether the installed packages are the ones that are tested together."""
    if not path.exists():
        return Check("versions", "ok", "no constraints.txt here to compare with")
    others = []
    for name, wanted in pinned(path).items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # belongs to an extra that is not installed
        if found.partition("+")[0] != wanted:
            others.append(f"{name} {found} (tested: {wanted})")
    if not others:
        return Check("versions", "ok", f"as in {path.name}")
    return Check("versions", "warn", ", ".join(others), "make install")


def pinned(path: Path) -> dict[str, str]:
    """Reads the exact versions of a constraints file, by package name."""
    rows = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;#]+)", path.read_text("utf-8"), re.MULTILINE)
    return dict(rows)


def _trains_on_cpu(config: EvolutionConfig) -> bool:
    if config.training.device == "auto" and importlib.util.find_spec("torch"):
        import torch

        return not torch.cuda.is_available()
    return config.training.device != "cuda"


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
