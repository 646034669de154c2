"""A person with a browser starts a run by hand in Prefect's UI, and watches it to its scores.

With `EVOLVESEARCH_SCREENSHOTS=docs/images` in the environment the pictures of docs/prefect-ui.md
are taken on the way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from prefect_services import ROOT, PrefectServer, process_worker, run_cli
from rehearsing import SIZES

from agents.fetching.chromium import find_chromium
from flows.config import EvolutionConfig
from flows.profiles import config_keys
from tasks.artifacts import ArtifactStore
from tasks.runs import RunLog

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.assets,
    pytest.mark.timeout(3600),
]

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

RUN = "by-hand"
PICTURES = os.environ.get("EVOLVESEARCH_SCREENSHOTS")
SIZE = {"width": 1280, "height": 900}
SOON_MS, IN_THE_END_MS = 60_000, 1_800_000
"""For what a page shows by itself, and for what the run has to do first."""
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
SETTINGS = {"PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false"}


@dataclass(frozen=True)
class Ui:
    """A server with the deployment `evolve/smoke`.

    Attributes:
        url: Where its UI is.
        api_url: Where its API is.
        home: `PREFECT_HOME` of workers.
        store: The store of the deployment.
    """

    url: str
    api_url: str
    home: Path
    store: Path


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    folder = tmp_path_factory.mktemp("ui")
    document = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))
    document["deployments"] = [
        each
        for each in document["deployments"]
        if (each["entrypoint"], each["name"]) == ("flows.evolve.evolve", "smoke")
    ]
    (folder / "prefect.yaml").write_text(yaml.safe_dump(document), "utf-8")
    options = ["--file", str(folder / "prefect.yaml"), "--store", str(folder / "store")]
    sizes = [word for key, value in SIZES.items() for word in ("--set", f"{key}={value}")]
    with PrefectServer(folder / "server", SETTINGS) as server:
        run_cli(["deploy", *options, *sizes], server.api_url, folder / "client")
        url = server.api_url.removesuffix("/api")
        yield Ui(url, server.api_url, folder / "workers", folder / "store")


@pytest.fixture
def page(ui: Ui):
    with playwright.sync_playwright() as started:
        # Root may not use Chromium's sandbox; only pages of this machine are opened.
        browser = started.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        context = browser.new_context(viewport=SIZE, color_scheme="light", locale="en-GB")
        # The UI asks servers elsewhere for things that it does without.
        elsewhere = re.compile(rf"^(?!{re.escape(ui.url)}/|data:|blob:)")
        context.route(elsewhere, lambda route: route.abort())
        page = context.new_page()
        page.set_default_timeout(SOON_MS)
        expect.set_options(timeout=SOON_MS)
        yield page
        browser.close()


def picture(page, name: str) -> None:
    """Takes a picture for the documentation, where it is asked for."""
    if PICTURES:
        page.mouse.move(0, 0)
        page.wait_for_timeout(2_000)
        page.screenshot(path=Path(PICTURES) / f"prefect-{name}.png")


def open_form(page, ui: Ui) -> None:
    """From the first page to the form of the deployment."""
    page.goto(ui.url)
    page.get_by_role("link", name="Deployments", exact=True).click()
    page.get_by_role("link", name="smoke", exact=True).click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    expect(page.get_by_role("button", name="Submit")).to_be_visible()


def section(page, key: str):
    """The fields of a section of the configuration."""
    label = page.get_by_text(f"{key} (Optional)", exact=True)
    return page.locator("div.group").filter(has=label).last


def field(place, key: str):
    return place.get_by_label(f"{key} (Optional)", exact=True)


def submit(page) -> None:
    """Sends the form off; again where the server is busy.

    On SQLite a request that reads before it writes is refused (503) when something else has
    written in between; Prefect's clients repeat it, its UI leaves that to the person.
    """
    for _ in range(30):
        with page.expect_response(re.compile("/create_flow_run$")) as response:
            page.get_by_role("button", name="Submit").click()
        if response.value.status != httpx.codes.SERVICE_UNAVAILABLE:
            break
        page.wait_for_timeout(2_000)
    assert response.value.status == httpx.codes.CREATED, response.value.text()


def flow_runs(ui: Ui) -> list[dict]:
    return httpx.post(f"{ui.api_url}/flow_runs/filter", json={}, timeout=60).json()


def states(ui: Ui) -> dict[str, str]:
    return {run["name"]: run["state_type"] for run in flow_runs(ui)}


def test_a_value_out_of_bounds_is_refused_before_anything_starts(ui, page):
    open_form(page, ui)
    iterations = field(page, "iterations")
    assert iterations.get_attribute("min") == "0"
    iterations.fill("-1")
    # The browser's own check of the box would say less than the server's.
    page.locator("form").evaluate("form => { form.noValidate = true }")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("-1 is less than the minimum of 0")).to_be_visible()
    assert flow_runs(ui) == []


def test_a_run_is_started_by_hand_and_watched_to_its_scores(ui, page):
    open_form(page, ui)
    keys = list(config_keys(EvolutionConfig))
    expect(page.get_by_text("(Optional)")).not_to_have_count(0)
    assert page.get_by_text("(Optional)").count() >= len(keys) > 200

    page.get_by_label("Run Name").fill("started by hand")
    field(page, "name").fill(RUN)
    picture(page, "form")
    steps = field(section(page, "rl"), "num_steps")
    assert steps.input_value() == str(SIZES["rl.num_steps"])
    steps.fill("2")
    mode = section(page, "execution").get_by_role("button", name="Select mode")
    mode.click()
    expect(page.get_by_role("option")).to_have_text(["inline", "dispatch"])
    picture(page, "form-choice")
    page.get_by_role("option", name="inline").click()
    submit(page)
    page.get_by_role("button", name="View run").click()
    expect(page.get_by_text("Scheduled", exact=True).first).to_be_visible()

    with process_worker(ui.api_url, "evolve-control", ui.home):
        watch(page, ui)

    (run,) = [each for each in flow_runs(ui) if each["deployment_id"]]
    assert run["parameters"]["config"]["rl"]["num_steps"] == 2
    assert run["state_type"] == "COMPLETED"
    records = RunLog(ArtifactStore.open(str(ui.store)).objects)
    assert records.run(RUN).status == "done"
    look_at_artifacts(page, ui, run["id"])


def watch(page, ui: Ui) -> None:
    """Watches a run from its start to its end."""
    expect(page.get_by_text("Running", exact=True).first).to_be_visible(timeout=IN_THE_END_MS)
    expect(page.get_by_text(f"evolve {RUN}", exact=True).first).to_be_visible()
    address = page.url
    watch_progress(page, ui)
    page.goto(address)
    page.get_by_role("tab", name="Subflow Runs").click()
    expect(page.get_by_role("link", name="construct", exact=True)).to_be_visible()
    picture(page, "running")
    # Its page draws the stages all the time, which a machine without a GPU needs for the stages.
    page.goto(f"{ui.url}/v2/settings")
    while (state := states(ui)[f"evolve {RUN}"]) not in TERMINAL:
        page.wait_for_timeout(2_000)
    assert state == "COMPLETED"
    page.goto(address)
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    page.get_by_role("tab", name="Subflow Runs").click()
    for name in ("construct", "benchmark base", "cold-start", "benchmark cold start"):
        expect(page.get_by_role("link", name=name, exact=True).first).to_be_visible()
    expect(page.get_by_role("link", name="iteration 1", exact=True).first).to_be_visible()
    picture(page, "finished")


def watch_progress(page, ui: Ui) -> None:
    """Waits until the page of a progress says how far SFT is."""
    steps = page.get_by_text(re.compile(r"Fine-tuning: \d+ of \d+ steps")).first
    while states(ui)[f"evolve {RUN}"] not in TERMINAL:
        page.goto(f"{ui.url}/v2/artifacts/key/sft-progress")
        with suppress(playwright.TimeoutError):
            steps.wait_for(timeout=10_000)
            picture(page, "progress")
            return
    raise AssertionError("the run ended, and its page never said how far SFT was")


def look_at_artifacts(page, ui: Ui, run_id: str) -> None:
    """The scores from the run's own page, and its stages' artifacts by their keys."""
    page.goto(f"{ui.url}/v2/runs/flow-run/{run_id}?tab=Artifacts")
    page.get_by_role("link", name=f"scores-{RUN}").first.click()
    open_newest(page)
    for policy in ("base", "cold start", "iteration 1"):
        expect(page.get_by_role("columnheader", name=policy)).to_be_visible()
    expect(page.get_by_role("cell", name="average")).to_be_visible()
    picture(page, "scores")

    for key, bar in (("score-chart", "iteration 1"), ("funnel", "sampled")):
        page.goto(f"{ui.url}/v2/artifacts/key/{key}-{RUN}")
        open_newest(page)
        expect(page.locator("svg[aria-roledescription=xychart]")).to_contain_text(bar)
        picture(page, key)

    page.goto(f"{ui.url}/v2/artifacts/key/samples-{RUN}")
    open_newest(page)
    expect(page.get_by_role("heading", name=re.compile("^(Right|Wrong): ")).first).to_be_visible()
    picture(page, "samples")


def open_newest(page) -> None:
    """From the page of a key to the newest of its artifacts."""
    page.get_by_role("link", name=re.compile("^[0-9a-f]{8}$")).first.click()
    expect(page.get_by_role("tab", name="Raw")).to_be_visible()
