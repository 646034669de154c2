"""Brings a set from where it is published: the Hub and addresses through `datasets`, packages.

A set that its owner gives only on request is never worked around: the error says whom to ask, and
that a file of it can be used in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.assets.fetch import ensure_asset
from agents.errors import AssetError, UsageError
from agents.progress import progress
from evaluation.sources.known import FileAt, FileOfPackage, HubSet, KnownSet
from evaluation.sources.rows import Row, read_rows

_HUB = re.compile(r"([\w.-]+/[\w.-]+)(?:/([\w.-]+))?(?:@([\w.-]+))?")
_FOR_TESTS = ("test", "validation", "dev", "main")
"""Splits to read where none is named, the first that there is."""


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
            return read_rows(_download(where, known), where.suffix)
        case HubSet():
            return _load(where, known)


def _download(where: FileAt, known: KnownSet | None) -> Path:
    from datasets import DownloadManager

    with _told(str(where), known):
        return Path(str(DownloadManager().download(where.url)))


def _load(where: HubSet, known: KnownSet | None) -> list[Row]:
    from datasets import get_dataset_split_names, load_dataset

    config = where.config or None
    with _told(str(where), known):
        split = where.split
        if not split:
            splits = get_dataset_split_names(where.repository, config)
            split = next((name for name in _FOR_TESTS if name in splits), splits[0])
            if split not in _FOR_TESTS and len(splits) > 1:
                raise UsageError(
                    f"{where} has the splits {', '.join(splits)}: name one, as {where}@{splits[0]}"
                )
        rows = load_dataset(where.repository, config, split=split).to_list()
    if not rows:
        raise UsageError(f"{where}@{split} holds no question")
    place = f"{where.repository} {split} row"
    return [Row(f"{place} {number}", values) for number, values in enumerate(rows, start=1)]


@contextmanager
def _told(where: str, known: KnownSet | None) -> Iterator[None]:
    """Shows that something is fetched, and turns what goes wrong into one line."""
    import datasets
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from httpx import HTTPError
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    datasets.disable_progress_bars()
    try:
        with progress(f"fetch {where}", None, "bytes"):
            yield
    except (DatasetsError, HfHubHTTPError, HTTPError, OSError, ValueError) as error:
        said = " ".join(str(error).split())
        gated = isinstance(error, GatedRepoError) or "gated" in said.lower()
        if gated or (known and known.gated and isinstance(error, DatasetNotFoundError)):
            home = known.home if known else where
            raise UsageError(
                f"{where} must be requested from its owner: accept the terms at {home} and log in "
                "with `hf auth login`, or name a file of it that you have "
                "(--benchmarks-file FILE)"
            ) from error
        if isinstance(error, DatasetNotFoundError):
            raise UsageError(f"there is no set {where} on the Hub, or it is private") from error
        raise AssetError(
            f"could not fetch {where} ({said[:160]}); check name and network, or name a file of it "
            "that you have (--benchmarks-file FILE)"
        ) from error
