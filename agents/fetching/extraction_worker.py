"""The worker behind `agents.fetching.extraction`: reads bodies on stdin, answers on stdout.

A request is two lengths, a JSON head and a body; an answer the same without a head. JSON and not
pickle: the answers of a process that a page has taken over must not run code in ours.
"""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import sys
from typing import Any

from agents.fetching.charsets import decoded
from agents.fetching.extraction import MAX_TEXT_CHARS
from agents.fetching.html_text import text_of_html
from agents.fetching.outline import Outline, outline_of_html

MAX_MEMORY_BYTES = 2 << 30
MAX_PDF_PAGES = 60
_HEADER = struct.Struct(">II")
_MAX_TITLE_CHARS = 300
# Text holds hardly any; a document of another kind does at once.
_MOST_CONTROL_SHARE = 0.02
_SAMPLE_CHARS = 65_536
_LONG_HTML_CHARS = 500_000


def main() -> None:
    """Answers until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    # What a library prints must not be taken for an answer.
    os.dup2(2, 1)
    while len(lengths := source.read(_HEADER.size)) == _HEADER.size:
        head_size, body_size = _HEADER.unpack(lengths)
        head = json.loads(source.read(head_size))
        body = source.read(body_size)
        reply = json.dumps(_answer(head["kind"], head["charset"], head["outlined"], body)).encode()
        answers.write(_HEADER.pack(0, len(reply)) + reply)
        answers.flush()


def _answer(kind: str, charset: str, outlined: str, body: bytes) -> dict[str, Any]:
    try:
        title, text, outline = _read(kind, charset, outlined, body)
    except Exception as error:
        # A parser gives up on a hostile document with exceptions of every kind.
        return {"problem": f"its text could not be read ({type(error).__name__})"}
    if not text.strip():
        return {"problem": "it holds no text"}
    reply: dict[str, Any] = {
        "title": _storable(title)[:_MAX_TITLE_CHARS],
        "text": _storable(text)[:MAX_TEXT_CHARS],
    }
    if outline is not None:
        reply["outline"] = outline.as_json()
    return reply


def _read(kind: str, charset: str, outlined: str, body: bytes) -> tuple[str, str, Outline | None]:
    """Title, text and, for HTML of the address `outlined` unless it is empty, its outline."""
    if body.startswith(b"%PDF-"):
        return *_text_of_pdf(body), None
    if kind == "pdf":
        raise ValueError("it is called a PDF and is none")
    text = decoded(body, charset)
    sample = text[:_SAMPLE_CHARS]
    odd = sum(not (c.isprintable() or c.isspace()) or c == "\ufffd" for c in sample)
    if odd > _MOST_CONTROL_SHARE * len(sample):
        raise ValueError("it is not text")
    if kind == "html" or (kind == "unknown" and sample.lstrip()[:1] == "<"):
        outline = outline_of_html(text, outlined) if outlined else None
        return *_text_of_web_page(text), outline
    return "", _tidy(text), None


def _text_of_web_page(html: str) -> tuple[str, str]:
    from trafilatura import bare_extraction

    found: Any = bare_extraction(
        html,
        # Without the second opinions that it otherwise asks for: they take long pages seconds.
        fast=len(html) > _LONG_HTML_CHARS,
        include_comments=False,
        include_tables=True,
        with_metadata=True,
        favor_recall=True,
    )
    title = (found.title or "") if found is not None else ""
    text = (found.text or "") if found is not None else ""
    if not text.strip():
        # It judged all of the page to be furniture; then furniture is what there is to read.
        heading, text = text_of_html(html)
        title = title or heading
    return " ".join(title.split()), _tidy(text)


def _text_of_pdf(body: bytes) -> tuple[str, str]:
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(body))
    title = str(reader.metadata.title or "") if reader.metadata else ""
    pages: list[str] = []
    length = 0
    for page in reader.pages[:MAX_PDF_PAGES]:
        pages.append(page.extract_text())
        length += len(pages[-1])
        if length > MAX_TEXT_CHARS:
            break
    return " ".join(title.split()), _tidy("\n".join(pages))


def _tidy(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


if __name__ == "__main__":
    main()
