"""A person with a browser finds the way through the local web: search, read, follow links."""

from pathlib import Path

import pytest

from agents.assets.fetch import is_fetched
from agents.assets.table import ASSETS
from agents.fetching.chromium import find_chromium
from agents.web.config import WebConfig
from agents.web.local import open_web
from agents.web.site import WebSite

pytestmark = pytest.mark.browser

CORPUS = """{"title": "Harbour", "text": "A harbour shelters ships.", "links": ["Lighthouse"]}
{"title": "Lighthouse", "text": "A <b>lighthouse</b> guides ships into a harbour."}
"""


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        path = find_chromium()
        if path is None and not Path(started.chromium.executable_path).exists():
            pytest.fail("no Chromium: `make test` installs it, or set EVOLVESEARCH_CHROMIUM")
        # Root may not use Chromium's sandbox; only pages of this machine are opened.
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    context = browser.new_context()
    page = context.new_page()
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    # The console reports the 404 that a test asks for, and nothing else is allowed.
    assert [text for text in problems if "404" not in text] == []


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setenv("EVOLVESEARCH_CACHE", str(tmp_path))
    (tmp_path / "corpus.jsonl").write_text(CORPUS)
    web = open_web(WebConfig(embedded=False, corpus=(str(tmp_path / "corpus.jsonl"),)))
    with WebSite(web) as site:
        yield site


def test_from_search_to_page_to_page(site, page):
    page.goto(site.url)
    page.get_by_role("searchbox").fill("where do ships shelter")
    page.get_by_role("searchbox").press("Enter")
    results = page.locator("ol.hits li")
    assert results.count() == 2
    assert "A harbour shelters ships." in results.first.inner_text()
    results.first.get_by_role("link").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Harbour"
    page.get_by_role("link", name="Lighthouse").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Lighthouse"
    assert page.url == f"{site.url}/wiki/Lighthouse"
    # Markup in a text is shown as it is written.
    assert "A <b>lighthouse</b> guides" in page.locator("main").inner_text()
    assert page.locator("main b").count() == 0
    page.go_back()
    assert page.get_by_role("heading", level=1).inner_text() == "Harbour"


def test_a_wrong_address_offers_what_is_near(site, page):
    page.goto(f"{site.url}/wiki/Lighthouse_keeper")
    assert "There is no page Lighthouse keeper" in page.locator("h1").inner_text()
    page.locator("ol.hits a").first.click()
    assert page.get_by_role("heading", level=1).inner_text() == "Lighthouse"


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_it_follows_light_and_dark_and_narrow_screens(site, browser, scheme, dark):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 320, "height": 640})
    page = context.new_page()
    page.goto(f"{site.url}/wiki/Harbour")
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    assert (sum(channels) < 3 * 128) is dark
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


@pytest.mark.assets
def test_the_hops_of_a_question_in_the_embedded_web(browser):
    if not all(is_fetched(asset.name) for asset in ASSETS if asset.name != "smollm2"):
        pytest.fail("the inputs are missing: run `evolvesearch assets`")
    with WebSite(open_web(WebConfig())) as site:
        page = browser.new_page()
        page.goto(site.url)
        page.get_by_role("searchbox").fill("Lyon country")
        page.get_by_role("button", name="Search").click()
        first = page.locator("ol.hits li").first
        assert "Lyon is a city in France." in first.inner_text()
        first.get_by_role("link").click()
        page.locator("main").get_by_role("link", name="France").click()
        assert "The currency of France is Euro." in page.locator("main").inner_text()
        page.close()
