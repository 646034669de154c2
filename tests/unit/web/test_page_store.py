"""Pages are found by url, path and title, and come back as they were written."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from agents.errors import AssetError
from agents.web.page_store import PageStore, write_pages
from agents.web.pages import fact_pages


def test_pages_come_back_as_they_were(graph, tmp_path):
    pages = fact_pages(graph)
    write_pages(tmp_path / "pages", pages)
    store = PageStore(tmp_path / "pages")
    assert list(store.values()) == pages
    assert len(store) == len(pages)
    assert [store.numbered(number) for number in range(len(pages))] == pages
    with pytest.raises(KeyError):
        store["http://wiki.local/Nowhere"]
    store.close()


@pytest.mark.parametrize(
    "reference",
    [
        "http://wiki.local/Lyon_(city)",
        "Lyon (city)",
        "lyon (CITY)",
        "Lyon_(city)",
        "/wiki/Lyon_(city)",
        "/wiki/Lyon_%28city%29",
        "http://127.0.0.1:8642/wiki/Lyon_(city)",
        " Lyon (city) ",
    ],
)
def test_a_page_is_found_however_it_is_named(web, reference):
    assert web.page(reference).title == "Lyon (city)"


def test_accents_qualifiers_and_sources_may_stand_for_a_page(web):
    assert web.page("zurich").title == "Zürich (city)"
    assert web.page("Euro").title == "Euro (currency)"
    assert web.page("https://en.wikipedia.org/wiki/Lyon").title == "Lyon"


@pytest.mark.parametrize("reference", ["", " ", "Atlantis", "http://", "/wiki/", "%00", "a" * 9999])
def test_what_does_not_exist_is_none(web, reference):
    assert web.page(reference) is None


def test_threads_may_read_at_once(web):
    urls = list(web.pages) * 20
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda url: web.pages[url].url, urls))
    assert found == urls


def test_a_file_that_is_no_store_is_one_clear_line(tmp_path):
    (tmp_path / "pages").write_text("something else")
    with pytest.raises(AssetError, match="cannot be read"):
        PageStore(tmp_path / "pages")
    with pytest.raises(AssetError, match="cannot be read"):
        PageStore(tmp_path / "absent")
