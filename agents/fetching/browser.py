"""One Chromium behind our proxy, and the contexts in which it opens pages.

It is started when the first page is asked for, and again after it has ended or stopped to
answer. Contexts have no downloads, no service workers, no media, no permissions and one page.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.config import VisitConfig
from agents.errors import UsageError
from agents.fetching.checking_proxy import CheckingProxy
from agents.fetching.chromium import VARIABLE, chromium_arguments, find_chromium
from agents.fetching.guard import Guard
from agents.fetching.outcomes import TransientFailure

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Playwright, Route

_START_S = 30.0
_CLOSE_S = 3.0
_BLOCKED = frozenset({"image", "media", "font", "texttrack", "ping", "manifest", "eventsource"})
# Besides what the arguments of the process close: nothing opens, nothing connects past the proxy.
_INIT_SCRIPT = """
for (const name of ['RTCPeerConnection', 'webkitRTCPeerConnection', 'WebTransport']) {
  Object.defineProperty(globalThis, name, {value: undefined, writable: false});
}
globalThis.open = () => null;
globalThis.print = () => undefined;
"""


@dataclass(slots=True)
class Tab:
    """A context with its page.

    Attributes:
        page: Where addresses are opened.
        num_visits: How many have been opened.
    """

    context: BrowserContext
    page: Page
    num_visits: int = 0


class ChromiumBrowser:
    """The browser of a process.

    Args:
        guard: Decides where its connections may go.
        config: Limits.
    """

    def __init__(self, guard: Guard, config: VisitConfig) -> None:
        self._config = config
        self.proxy = CheckingProxy(guard, config.max_page_bytes)
        self._places = asyncio.Semaphore(config.browser_tabs)
        self._starting: asyncio.Task[Browser] | None = None
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._kept: list[Tab] = []

    @asynccontextmanager
    async def tab(self, *, keep: bool, scripts: bool = True) -> AsyncIterator[Tab]:
        """Lends a tab, waiting for a place.

        Args:
            keep: Whether the tab may have been used before and will be again: for pages of our
                own. A tab in which anything failed is never used again.
            scripts: Whether pages may run scripts.

        Raises:
            TransientFailure: Chromium does not start.
            UsageError: There is no Chromium, or no Playwright.
        """
        async with self._places:
            browser = await self._running()
            tab = self._kept.pop() if keep and self._kept else None
            if tab is None:
                tab = await self._new_tab(browser, scripts)
            well = False
            try:
                yield tab
                well = True
            finally:
                tab.num_visits += 1
                if well and keep and tab.num_visits < self._config.browser_reuse:
                    self._kept.append(tab)
                else:
                    await asyncio.shield(self._end_tab(tab))

    async def close(self) -> None:
        """Ends the browser, its driver and the proxy."""
        if self._starting is not None:
            await asyncio.wait({self._starting})
            if not self._starting.cancelled() and self._starting.exception() is None:
                self._browser = self._starting.result()
        await self._end_browser()
        if self._playwright is not None:
            await self._playwright.stop()
            self._playwright = None
            await self.proxy.close()

    async def _running(self) -> Browser:
        if self._browser is not None and self._browser.is_connected():
            return self._browser
        if self._starting is None or self._starting.done():
            self._kept.clear()
            self._starting = asyncio.create_task(self._start())
        # A visit that is given up meanwhile leaves the browser to those that come after it.
        self._browser = await asyncio.shield(self._starting)
        return self._browser

    async def _start(self) -> Browser:
        try:
            from playwright.async_api import Error, async_playwright
        except ImportError as error:
            raise UsageError(
                "agents.visit.mode is 'browser' but Playwright is not installed; "
                "install the extra `browser`"
            ) from error
        if self._playwright is None:
            await self.proxy.start()
            self._playwright = await async_playwright().start()
        path = find_chromium()
        if path is None and not Path(self._playwright.chromium.executable_path).exists():
            raise UsageError(
                "agents.visit.mode is 'browser' but there is no Chromium; install one "
                f"(`playwright install chromium`) or set {VARIABLE} to it"
            )
        try:
            return await self._playwright.chromium.launch(
                executable_path=path,
                args=chromium_arguments(self.proxy.port),
                timeout=_START_S * 1000,
                handle_sigint=False,
                handle_sigterm=False,
                handle_sighup=False,
            )
        except Error as error:
            raise TransientFailure(f"Chromium does not start: {first_line(error)}") from error

    async def _new_tab(self, browser: Browser, scripts: bool) -> Tab:
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(_START_S):
                context = await browser.new_context(
                    accept_downloads=False,
                    service_workers="block",
                    java_script_enabled=scripts,
                    permissions=[],
                    user_agent=self._config.user_agent,
                    viewport={"width": 1024, "height": 768},
                )
                await context.add_init_script(_INIT_SCRIPT)
                page = await context.new_page()
                await context.route("**/*", partial(_let_through_what_is_read, page))
        except (Error, TimeoutError) as error:
            await self._end_browser()
            raise TransientFailure(f"Chromium opens no page: {first_line(error)}") from error
        context.on("page", _close_popup)
        return Tab(context, page)

    async def _end_tab(self, tab: Tab) -> None:
        if not await _within(tab.context.close(), _CLOSE_S):
            # A page whose scripts never end may keep its context; it cannot keep the process.
            await self._end_browser()

    async def _end_browser(self) -> None:
        browser, self._browser = self._browser, None
        self._kept.clear()
        if browser is not None:
            await _within(browser.close(), _CLOSE_S)


def first_line(error: BaseException) -> str:
    """What an error of Playwright's says, without its log of the call."""
    return str(error).strip().split("\n", 1)[0][:200] or type(error).__name__


async def _within(work: Awaitable[Any], limit_s: float) -> bool:
    """Whether something was closed in time; that it was closed already is as good."""
    from playwright.async_api import Error

    try:
        async with asyncio.timeout(limit_s):
            await work
    except Error:
        return True
    except TimeoutError:
        return False
    return True


async def _let_through_what_is_read(page: Page, route: Route) -> None:
    from playwright.async_api import Error

    request = route.request
    wanted = request.resource_type not in _BLOCKED
    try:
        wanted = wanted and request.frame.page == page
    except Error:
        wanted = False  # A request of a page that is only being opened: a popup's.
    with contextlib.suppress(Error):  # The page may be gone by now.
        if wanted:
            await route.continue_()
        else:
            await route.abort("blockedbyclient")


async def _close_popup(page: Page) -> None:
    from playwright.async_api import Error

    with contextlib.suppress(Error):
        await page.close()
