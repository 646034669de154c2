"""The text of what was fetched, taken out by a process that may be killed.

Parsers of HTML and PDF meet whatever the web sends: documents that take them minutes, gigabytes
or down. So they run in workers of their own, with little memory, no secrets in their
environment and a time limit; a worker that fails is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import sys
from typing import Any, Literal

from agents.fetching.html_text import text_of_html
from agents.fetching.outcomes import FetchedPage, KindRefused, PageProblem, TransientFailure
from agents.fetching.outline import Outline, outline_of_html

Kind = Literal["html", "text", "pdf", "unknown"]

MAX_TEXT_CHARS = 400_000
"""Most characters of a page's text; about 65,000 words."""

_HEADER = struct.Struct(">II")
_MAX_REPLY_BYTES = 16 * MAX_TEXT_CHARS
_TEXT_TYPES = frozenset(
    {"application/json", "application/ld+json", "application/xml", "application/rss+xml"}
)


def kind_of(content_type: str, url: str) -> Kind:
    """What a content type is to us; `unknown` is decided by the first bytes.

    Raises:
        KindRefused: It is not text.
    """
    name = content_type.partition(";")[0].strip().lower()
    if name in ("text/html", "application/xhtml+xml"):
        return "html"
    if name in ("application/pdf", "application/x-pdf"):
        return "pdf"
    if name.startswith("text/") or name in _TEXT_TYPES:
        return "text"
    if name in ("", "application/octet-stream", "binary/octet-stream"):
        return "unknown"
    raise KindRefused(f"it is {name[:80]}, expected a page of text or a PDF")


def charset_of(content_type: str) -> str:
    """The charset that a content type names, empty where it names none."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'")[:40]
    return ""


class Extractor:
    """Takes text out of bodies, several at once.

    Args:
        site_url: Address of the local web's site, whose pages are read in this process; None:
            there is none.
        timeout_s: Seconds that one page may take.
        num_workers: Most processes at once; each starts when it is first needed.
        outlines: Whether pages of HTML come with their outline.
    """

    def __init__(
        self,
        site_url: str | None,
        timeout_s: float,
        num_workers: int = 2,
        outlines: bool = False,
    ) -> None:
        self._site = None if site_url is None else f"{site_url}/"
        self._timeout_s = timeout_s
        self._outlines = outlines
        self._places = asyncio.Semaphore(num_workers)
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    async def extract(self, body: bytes, content_type: str, url: str) -> FetchedPage:
        """Reads the body of the page at an address.

        Raises:
            PageProblem: It holds no text that we can read, or reading it takes too long.
            TransientFailure: The worker could not be started.
        """
        kind = kind_of(content_type, url)
        if self._site is not None and url.startswith(self._site):
            html = body.decode("utf-8", errors="replace")
            title, text = text_of_html(html)
            outline = outline_of_html(html, url) if self._outlines else None
            return FetchedPage(url, title, text[:MAX_TEXT_CHARS], outline, len(body))
        async with self._places:
            worker = self._idle.pop() if self._idle else await self._start()
            try:
                async with asyncio.timeout(self._timeout_s):
                    outlined = url if self._outlines else ""
                    reply = await worker.ask(kind, charset_of(content_type), outlined, body)
                outline = Outline.from_json(reply["outline"]) if "outline" in reply else None
            except TimeoutError as error:
                await self._end(worker)
                raise PageProblem(
                    f"its text could not be read within {self._timeout_s:g} s"
                ) from error
            except (OSError, EOFError, ValueError) as error:
                await self._end(worker)
                raise PageProblem("its text could not be read: the reader gave up") from error
            except BaseException:
                # What it would answer belongs to nobody.
                await self._end(worker)
                raise
            self._idle.append(worker)
        if "problem" in reply:
            raise PageProblem(str(reply["problem"]))
        return FetchedPage(url, str(reply["title"]), str(reply["text"]), outline, len(body))

    async def close(self) -> None:
        """Ends the workers."""
        for worker in list(self._all):
            await self._end(worker)
        self._idle.clear()

    async def _start(self) -> _Worker:
        environment = {
            name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ
        }
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "agents.fetching.extraction_worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=environment,
                # Ctrl-C is for this process, which ends its workers itself.
                start_new_session=True,
            )
        except OSError as error:
            raise TransientFailure(f"the reader of pages could not be started: {error}") from error
        worker = _Worker(process)
        self._all.add(worker)
        return worker

    async def _end(self, worker: _Worker) -> None:
        self._all.discard(worker)
        await worker.kill()


class _Worker:
    """One process and the conversation with it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, kind: Kind, charset: str, outlined: str, body: bytes) -> dict[str, Any]:
        into, out = self._process.stdin, self._process.stdout
        assert into is not None
        assert out is not None
        head = json.dumps({"kind": kind, "charset": charset, "outlined": outlined}).encode()
        into.write(_HEADER.pack(len(head), len(body)) + head)
        into.write(body)
        await into.drain()
        _, size = _HEADER.unpack(await out.readexactly(_HEADER.size))
        if size > _MAX_REPLY_BYTES:
            raise ValueError(f"a reply of {size} bytes")
        reply = json.loads(await out.readexactly(size))
        if not isinstance(reply, dict) or not (
            {"title", "text"} <= set(reply) or "problem" in reply
        ):
            raise ValueError("a reply of another form")
        return reply

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()
