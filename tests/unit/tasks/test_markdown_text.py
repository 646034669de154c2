"""Whatever a page says, it is shown and not obeyed."""

from __future__ import annotations

import re

import pytest

from tasks.markdown_text import block, inline, label, table

HOSTILE = [
    "<script>alert(1)</script>",
    '<code class="language-mermaid">graph TD; A-->B</code>',
    "<img src=https://example.org/pixel.png>",
    "![pixel](https://example.org/pixel.png)",
    "[click](javascript:alert(1))",
    "https://example.org www.example.org",
    "# heading",
    "- item\n- item",
    "1. first",
    "> quote",
    "a | b",
    "**bold** _italic_ ~~gone~~ `code` $x$",
    "&lt;b&gt;",
    "\\",
    "==marked== :smile: ^up^",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_character_of_a_line_means_anything(text):
    shown = inline(text)
    # Every character that could mean something stands behind a backslash of its own.
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", shown)
    assert not set("<>[]()`*_#!|~$\\{}^=&+-") & set(bare)
    assert "\n" not in shown
    # What a reader sees is what was said.
    assert re.sub(r"\\(.)", r"\1", shown) == " ".join(text.split())


@pytest.mark.parametrize(
    "text",
    [
        "```\n# out\n```mermaid\ngraph TD",
        "`````\nout",
        "~~~\nout",
        "a\r```\rout",
        "```" * 40,
        "a\u2028```\u2028out",
    ],
)
def test_a_block_ends_only_where_it_is_to_end(text):
    lines = block(text, 10_000).split("\n")
    fence = lines[0].removesuffix("text")
    assert set(fence) == {"`"}
    assert lines[-1] == fence
    assert not any(fence in line for line in lines[1:-1])


def test_a_long_text_is_cut_and_says_so():
    shown = block("x" * 1_500, 500)
    assert shown.count("x") == 500 + len("text".replace("te", "").replace("t", ""))
    assert "… 1,000 more characters" in shown


def test_nothing_is_hidden_or_turned_round():
    text = "a\x1b[31mb\u202ec\u200bd\x00e\ufefff"
    assert "a[31mbcdef" in block(text, 100)
    assert "abc" in inline("a\x07b\u200ec")


def test_a_label_cannot_leave_its_quotes():
    assert label('a"]\n    bar [9]\n x["b') == '"a       bar  9   x  b"'
    assert label("") == '"-"'


def test_a_cell_cannot_leave_its_table():
    shown = table([{"name": "a | b\n| c", "n": 1}, {"name": "d"}])
    assert [line.count(" | ") for line in shown.split("\n")] == [1, 1, 1, 1]
    assert table([]) == ""


def test_long_lines_of_a_block_are_wrapped_and_none_of_them_is_lost():
    text = "word " * 40 + "\n" + "x" * 150 + "\n\n  last"
    lines = block(text, 1000).split("\n")[1:-1]
    assert max(map(len, lines)) <= 66
    assert "".join(lines) == text.replace("\n", "")
