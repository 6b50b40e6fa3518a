"""Chromium without a head, and pages that tell of every error on their console."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

FLAGS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)

PATIENCE_MS = 30_000


@dataclass
class Watched:
    """A page, and the errors on its console so far."""

    page: Page
    errors: list[str] = field(default_factory=list)

    def text(self, test_id: str) -> str:
        """What an element says; it must be there."""
        return self.page.get_by_test_id(test_id).inner_text(timeout=PATIENCE_MS)

    def wait_for_text(self, test_id: str, text: str) -> None:
        """Wait until an element says exactly this."""
        element = self.page.get_by_test_id(test_id).and_(self.page.get_by_text(text, exact=True))
        element.wait_for(timeout=PATIENCE_MS)


Open = Callable[[str], Watched]


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    """Debian's Chromium; nothing is downloaded."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open an address on a page of its own, as large as a wall screen."""
    opened: list[Page] = []

    def begin(address: str) -> Watched:
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        opened.append(page)
        watched = Watched(page)

        def on_console(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                watched.errors.append(message.text)

        page.on("console", on_console)
        page.on("pageerror", lambda error: watched.errors.append(f"uncaught: {error}"))
        page.goto(address, timeout=PATIENCE_MS)
        return watched

    yield begin
    for page in opened:
        page.close()
