"""A portal of Django as it is: a button starts a report, its progress and its file appear."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from support.browser import browser
from support.suite import ENVIRONMENT, Suite, end
from support.wait import TIMEOUT, run_to_end, until
from support.web import free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "django"


class Portal:
    """The example with a suite of its own, and Django's server on a port."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.code, self.data = suite.directory / "portal", suite.directory / "data"
        shutil.copytree(EXAMPLE, self.code)
        self.data.mkdir()
        shipped = (EXAMPLE / "warren" / "warren.ini").read_text(encoding="utf-8")
        shipped = shipped.replace("/srv/portal", str(self.code))
        shipped = shipped.replace("/var/lib/portal", str(self.data))
        directories = re.findall(r"^\w+_dir = .*$", suite.head, re.MULTILINE)
        suite.head = ""
        suite.write(shipped.replace("[app]", "\n".join(["[app]", *directories])))
        self.environment = ENVIRONMENT | {
            "CELERY_LOADER": "warren.app.client_loader:Loader",
            "WARREN_CONFIG": str(suite.etc),
            "PORTAL_DATA": str(self.data),
        }
        self.url = f"http://127.0.0.1:{free_port()}"

    def manage(self, *words: str) -> str:
        """What a command of Django prints."""
        command = [sys.executable, "manage.py", *words]
        done = run_to_end(command, env=self.environment, cwd=self.code, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Django's server, once it answers."""
        command = [sys.executable, "manage.py", "runserver", "--noreload", self.url[7:]]
        with (self.suite.directory / "django.out").open("wb") as out:
            server = subprocess.Popen(
                command, env=self.environment, cwd=self.code, stdout=out, stderr=out
            )
        try:
            until(self._answers, TIMEOUT, "an answer of Django")
            yield
        finally:
            end(server)

    def _answers(self) -> bool:
        try:
            return requests.get(self.url, timeout=TIMEOUT).ok
        except requests.ConnectionError:
            return False


@pytest.fixture
def portal(suite: Suite) -> Iterator[Portal]:
    """The portal, and a worker of the suite."""
    pytest.importorskip("django")
    made = Portal(suite)
    made.manage("migrate")
    with suite.running("worker", "main"):
        suite.await_event("worker", "ready")
        yield made


def test_a_report_from_the_button_to_its_file(portal: Portal) -> None:
    """In a browser; with the log lines of both Warren and the project."""
    with portal.serving(), browser() as driver:
        driver.get(portal.url)
        field = driver.find_element(By.ID, "rows")
        field.clear()
        field.send_keys("60", Keys.ENTER)
        values = set[float]()

        def moved() -> bool:
            values.add(float(driver.find_element(By.ID, "bar").get_attribute("value") or 0))
            return len(values - {0.0, 1.0}) >= 2

        until(moved, TIMEOUT, "two positions of the bar")
        link = driver.find_element(By.ID, "file")
        until(link.is_displayed, TIMEOUT, "the link to the file")
        assert driver.find_element(By.ID, "state").text == "done"
        file = requests.get(str(link.get_attribute("href")), timeout=TIMEOUT)
        assert file.text.splitlines() == [f"{row},{row * row}" for row in range(60)]
    ended = portal.suite.await_event("worker", "task_succeeded")
    assert ended["task"] == "reports.tasks.make_report"
    log = (portal.data / "portal.log").read_text(encoding="utf-8")
    assert re.search(r"^INFO reports.tasks report [0-9a-f-]{36} has 60 rows$", log, re.MULTILINE)


def test_a_transaction_that_fails_sends_nothing(portal: Portal) -> None:
    """And one that is committed sends its task, from a command of Django as well."""
    code = """
from functools import partial
from django.db import transaction
from reports.models import Report
from reports.tasks import make_report

def start(fails):
    with transaction.atomic():
        report = Report.objects.create(rows=1)
        transaction.on_commit(partial(make_report.delay, str(report.pk)))
        if fails:
            raise ValueError

try:
    start(True)
except ValueError:
    pass
start(False)
"""
    portal.manage("shell", "-c", code)
    portal.suite.await_event("worker", "task_succeeded")
    assert len(portal.suite.logged("worker", "task_started")) == 1


def test_check_names_what_is_not_used(portal: Portal) -> None:
    """The settings of Celery in Django's file, with its line."""
    done = portal.suite.warren("check")
    assert done.returncode == 0, done.stderr
    lines = (portal.code / "portal" / "settings.py").read_text(encoding="utf-8").splitlines()
    number = next(at for at, line in enumerate(lines, 1) if line.startswith("CELERY_BROKER_URL"))
    assert f"portal/settings.py:{number}: broker_url of the app is not used" in done.stderr
    assert "guest" not in done.stderr
