"""Wikipedia leads and corpus files become pages; what is wrong with a file is said in one line."""

import gzip
import json
import lzma

import pytest

from agents.errors import AssetError, UsageError
from agents.web.articles import Titles, read_corpus, read_leads
from agents.web.linking import link_by_titles

ROWS = [
    {"title": "Alpha", "text": "Alpha comes first. It is a letter.\n\nMore\nof it.", "links": []},
    {"title": "Beta One", "text": "Beta follows.", "links": ["Alpha", "Nothing", "Beta%20One"]},
    {"title": "Gamma", "text": "Third.", "links": ["Beta_One", {"title": "alpha"}], "id": 3},
    {"title": "Alpha", "text": "Another.", "url": "https://example.org/alpha"},
]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n", encoding="utf-8")
    return path


def refused(path) -> str:
    with pytest.raises(UsageError) as caught:
        read_corpus(path, Titles(()))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_become_pages_with_titles_of_their_own(corpus):
    pages = read_corpus(corpus, Titles(()))
    assert [page.title for page in pages] == ["Alpha", "Beta One", "Gamma", "Alpha (page)"]
    assert len({page.url for page in pages}) == 4
    assert pages[0].text == "Alpha comes first.\nIt is a letter.\n\nMore of it."
    assert pages[3].source == "https://example.org/alpha"


def test_links_are_found_by_title_however_they_are_written(corpus):
    pages = read_corpus(corpus, Titles(()))
    # A name that two rows share means the first of them.
    assert [link.title for link in pages[1].links] == ["Alpha"]
    assert [link.title for link in pages[2].links] == ["Beta One", "Alpha"]


def test_links_follow_a_title_that_had_to_be_qualified(corpus):
    titles = Titles(())
    titles.claim("Beta One", "article")
    pages = {page.title: page for page in read_corpus(corpus, titles)}
    assert "Beta One (page)" in [link.title for link in pages["Gamma"].links]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_packed_files_are_unpacked(corpus, suffix, pack):
    packed = corpus.with_name(f"corpus.jsonl{suffix}")
    packed.write_bytes(pack(corpus.read_bytes()))
    assert read_corpus(packed, Titles(())) == read_corpus(corpus, Titles(()))
    packed.write_bytes(packed.read_bytes()[:40])
    assert "cannot be read" in refused(packed)


def test_wrong_lines_are_named(corpus):
    good = json.dumps(ROWS[0])
    for bad, said in [
        ("{", "not a JSON object"),
        ("[1]", "expected a JSON object"),
        ('{"title": "X"}', "'text'"),
        ('{"title": 3, "text": "x"}', "'title'"),
        ('{"title": "X", "text": "x", "links": "Y"}', "'links'"),
    ]:
        corpus.write_text(f"{good}\n{bad}\n")
        message = refused(corpus)
        assert "line 2" in message
        assert said in message


def test_unreadable_files_are_named(corpus, tmp_path):
    assert "absent.jsonl" in refused(tmp_path / "absent.jsonl")
    corpus.write_bytes(b'{"title": "\xff"}')
    assert "cannot be read" in refused(corpus)
    corpus.write_text("\n")
    assert "no pages" in refused(corpus)


def test_leads_keep_out_of_the_way_of_fact_pages(tmp_path):
    path = tmp_path / "leads.json"
    lead = {"title": "Iron", "extract": "Iron is a metal.\xa0It rusts."}
    path.write_text(json.dumps({"Iron": lead, "Empty": {"title": "Empty", "extract": " "}}))
    titles = Titles(())
    first = list(read_leads(path, titles))
    assert [(page.title, page.text) for page in first] == [("Iron", "Iron is a metal.\nIt rusts.")]
    assert first[0].source == "https://en.wikipedia.org/wiki/Iron"
    assert [page.title for page in read_leads(path, titles)] == ["Iron (article)"]


def test_unreadable_leads_are_an_asset_error(tmp_path):
    path = tmp_path / "leads.json"
    for content in ("{", "[]", '{"A": {"title": "A"}}'):
        path.write_text(content)
        with pytest.raises(AssetError, match="cannot be read"):
            list(read_leads(path, Titles(())))


def test_articles_link_to_what_they_mention(tmp_path):
    path = tmp_path / "leads.json"
    leads = {
        "a": {"title": "Mona Lisa", "extract": "Painted by Leonardo da Vinci, on wood."},
        "b": {"title": "Leonardo da Vinci", "extract": "Leonardo da Vinci was a painter."},
        "c": {"title": "Wood", "extract": "Wood is a material."},
        "d": {"title": "Painting", "extract": "A painting on wood. Photosynthesis it is not."},
        "e": {"title": "Photosynthesis", "extract": "Plants and a painting."},
    }
    path.write_text(json.dumps(leads))
    linked = {p.title: p for p in link_by_titles(list(read_leads(path, Titles(()))))}
    assert [link.title for link in linked["Mona Lisa"].links] == ["Leonardo da Vinci"]
    # Longer common nouns are linked in lower case, short ones are not; none links to itself.
    assert [link.title for link in linked["Photosynthesis"].links] == ["Painting"]
    assert [link.title for link in linked["Painting"].links] == ["Photosynthesis"]


def test_links_by_id_are_found_where_titles_would_not_tell(tmp_path):
    path = tmp_path / "corpus.jsonl"
    rows = [
        {
            "id": "Trek__One",
            "title": "Trek: One",
            "text": "First.",
            "links": ["Twin_2", "Trek: One"],
        },
        {"id": "Twin_1", "title": "Twin", "text": "Second.", "links": ["Trek__One", "Twin_2"]},
        {"id": "Twin_2", "title": "Twin", "text": "Third.", "links": ["Twin"]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    links = [[link.title for link in page.links] for page in read_corpus(path, Titles(()))]
    assert links == [["Twin (page)"], ["Trek: One", "Twin (page)"], ["Twin"]]
