"""Headless Chromium, as Debian packages it, with an empty profile of its own."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.support.programs import require
from tests.support.stack import until

WAIT_S = 60.0
SCREENSHOTS = Path(os.environ.get("SCREENSHOTS", "test-output/screenshots"))
"""Kept after the tests, for people to look at."""

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,1000",
)


class Browser:
    """A browser that knows Flower's address."""

    def __init__(self, driver: Chrome, url: str) -> None:
        self.driver = driver
        self.url = url

    def log_in(self, user: str, password: str) -> None:
        """Give the password as typed into the browser's own question: it keeps it for the site."""
        parts = urlsplit(self.url)
        login = f"{quote(user)}:{quote(password)}@{parts.netloc}"
        self.driver.get(urlunsplit(parts._replace(netloc=login)) + "/healthcheck")
        self.driver.get(urlunsplit(parts._replace(netloc=login)) + "/")

    def open(self, path: str) -> None:
        self.driver.get(self.url + path)

    @property
    def status(self) -> int:
        """The HTTP status of the page that is shown."""
        script = "return performance.getEntriesByType('navigation')[0].responseStatus"
        found: int = self.driver.execute_script(script)
        return found

    @property
    def text(self) -> str:
        return str(self.driver.execute_script("return document.body.innerText"))

    def all(self, css: str) -> list[WebElement]:
        return list(self.driver.find_elements(By.CSS_SELECTOR, css))

    def texts(self, css: str) -> list[str]:
        """The texts of elements, read at one instant: a page may be redrawn at any time."""
        script = "return Array.from(document.querySelectorAll(arguments[0]), e => e.innerText)"
        return [str(each).strip() for each in self.driver.execute_script(script, css)]

    def wait_text(self, css: str, text: str, timeout_s: float = WAIT_S) -> None:
        """Wait until some element's text is this."""
        until(lambda: text in self.texts(css), timeout_s, lambda: f"{text!r} in {self.texts(css)}")

    def dark(self, on: bool) -> None:
        """Have pages believe that the user prefers this colour scheme."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def screenshot(self, name: str) -> Path:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        assert self.driver.save_screenshot(str(path))
        return path

    def errors(self) -> list[str]:
        """Errors in the browser's console since the last call."""
        return [each["message"] for each in self.driver.get_log("browser")]


@contextmanager
def browser(url: str) -> Iterator[Browser]:
    """Start a browser with a new profile. Skips the test if none is installed."""
    chromium, driver_path = require("chromium"), require("chromedriver")
    with tempfile.TemporaryDirectory(prefix="aw-chromium-") as profile:
        options = ChromeOptions()
        options.binary_location = chromium
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = Chrome(options=options, service=Service(driver_path))
        try:
            driver.set_page_load_timeout(WAIT_S)
            yield Browser(driver, url)
        finally:
            driver.quit()
