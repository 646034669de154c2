"""Records of a crawl for tests: in memory, and in a file that survives a kill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from training.construction.crawl.visits import Reason, Visit, row_of, visit_of


class ListRecord:
    def __init__(self, visits: list[Visit] | None = None) -> None:
        self.visits = list(visits or [])

    def finished(self) -> list[Visit]:
        return list(self.visits)

    def keep(self, visit: Visit) -> None:
        self.visits.append(visit)

    def kept(self) -> set[str]:
        return {visit.url for visit in self.visits if visit.reason == Reason.KEPT}


class FileRecord:
    def __init__(self, path: Path) -> None:
        self._path = path

    def finished(self) -> Iterator[Visit]:
        if not self._path.exists():
            return
        for line in self._path.read_text("utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield visit_of(json.loads(line))

    def keep(self, visit: Visit) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row_of(visit)) + "\n")
