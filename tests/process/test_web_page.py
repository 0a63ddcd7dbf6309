"""The page of `warren web`, used in a real browser as a person would."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from support.browser import browser
from support.suite import Suite
from support.wait import TIMEOUT, until
from support.web import TOKEN, Web


@pytest.fixture
def web(suite: Suite) -> Iterator[Web]:
    """A worker, and the web daemon."""
    made = Web(suite)
    with suite.running("worker", "a"), suite.running("web"):
        suite.await_event("worker", "ready")
        suite.await_event("web", "ready")
        yield made


def seen(driver: webdriver.Chrome, name: str) -> Any:
    """The element, once it is shown."""
    return until(
        lambda: [each for each in driver.find_elements(By.ID, name) if each.is_displayed()],
        TIMEOUT,
        f"the element {name}",
    )[0]


def _says(driver: webdriver.Chrome, told: str) -> bool:
    return told in seen(driver, "problem").text


def sign_in(driver: webdriver.Chrome, web: Web, token: str = TOKEN) -> None:
    """Types the token."""
    driver.get(f"{web.url}/")
    seen(driver, "token").send_keys(token, Keys.ENTER)


def test_a_report_with_its_progress_and_its_file(web: Web) -> None:
    """Started with the keyboard alone: the bar moves, the result and a link appear."""
    with browser() as driver:
        sign_in(driver, web)
        Select(seen(driver, "task")).select_by_visible_text("shop.steps")
        assert seen(driver, "parameters").text == "Takes (n)"
        field = seen(driver, "kwargs")
        field.clear()
        field.send_keys('{"n": 8}', Keys.TAB, Keys.ENTER)
        bar = seen(driver, "bar")
        values = set[float]()

        def moved() -> bool:
            values.add(float(bar.get_attribute("value") or 0))
            return len(values - {0.0, 1.0}) >= 2

        until(moved, TIMEOUT, "two positions of the bar")
        assert "of 8 at work" in seen(driver, "state").text
        assert '"rows": 8' in seen(driver, "result").text
        until(lambda: seen(driver, "state").text == "done", TIMEOUT, "the end")
        link = driver.find_element(By.CSS_SELECTOR, "#files a")
        assert link.text == "Download report.csv (16 bytes)"
        file = requests.get(str(link.get_attribute("href")), timeout=TIMEOUT)
        assert file.text == "".join(f"{row}\n" for row in range(8))
        assert file.headers["Content-Disposition"].startswith("attachment;")
        lines: list[dict[str, str]] = driver.get_log("browser")  # type: ignore[no-untyped-call]
        errors = [line for line in lines if line["level"] == "SEVERE"]
        assert errors == []
        # The address alone leads back to the task, and to its result.
        address = driver.current_url
        driver.get("about:blank")
        driver.get(address)
        assert '"rows": 8' in seen(driver, "result").text


def test_what_goes_wrong_is_said(web: Web) -> None:
    """A wrong token, arguments that are no JSON or that no task takes, a task that fails."""
    with browser() as driver:
        sign_in(driver, web, "x" * 32)
        assert "a token of [web] token_file" in seen(driver, "problem").text
        seen(driver, "token").send_keys(TOKEN, Keys.ENTER)
        Select(seen(driver, "task")).select_by_visible_text("shop.steps")
        for text, told in (
            ("{", "Arguments: "),
            ('{"m": 1}', "expected the arguments of shop.steps"),
        ):
            field = seen(driver, "kwargs")
            field.clear()
            field.send_keys(text, Keys.TAB, Keys.ENTER)
            until(partial(_says, driver, told), TIMEOUT, told)
        Select(seen(driver, "task")).select_by_visible_text("shop.fail")
        field = seen(driver, "kwargs")
        field.clear()
        field.send_keys("{}", Keys.TAB, Keys.ENTER)
        told = "ValueError: amqp://user:***@host is away"
        until(lambda: seen(driver, "state").text == told, TIMEOUT, told)
        assert not driver.find_element(By.ID, "problem").is_displayed()


def test_links_to_files(web: Web) -> None:
    """A link is for one file and a while: changed or late it leads nowhere."""
    sent = web.send("shop.steps", 1).json()["task_id"]
    until(lambda: web.state(sent)["ended"], TIMEOUT, "the end")
    (file,) = web.state(sent)["files"]
    url = f"{web.url}{file['url']}"
    assert requests.get(url, timeout=TIMEOUT).text == "0\n"
    for change in (
        ("until=", "until=1"),
        ("report.csv", "other.csv"),
        ("signature=", "signature=0"),
    ):
        assert requests.get(url.replace(*change), timeout=TIMEOUT).status_code == 403
    assert requests.get(url.split("?")[0], timeout=TIMEOUT).status_code == 403
    path = web.suite.directory / "state" / "published" / sent / "report.csv"
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert requests.get(url, timeout=TIMEOUT).status_code == 404
    path.unlink()
    os.mkfifo(path)
    assert requests.get(url, timeout=TIMEOUT).status_code == 404
    assert time.time() < int(url.partition("until=")[2].partition("&")[0]) <= time.time() + 3600
