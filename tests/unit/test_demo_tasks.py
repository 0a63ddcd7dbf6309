"""The sample tasks, run by a real Celery worker here, against the real API in another process."""

from __future__ import annotations

import csv
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, current_app

from support.api import api as running
from support.in_process import working
from support.wait import TIMEOUT, result_of, until
from warren.demo import api_calls, demo_settings
from warren.quotas import client
from warren.quotas.ledger import Ledger


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Yield the quota `documents` of this process.

    It is wider than the API's limit, so that the API has reason to refuse.
    """
    made = Ledger(tmp_path / "documents.ledger")
    made.configure(50, 10.0, 1.0)
    client.use({"documents": made})
    yield made
    client.use({})


@pytest.fixture
def api(tmp_path: Path) -> Iterator[str]:
    """The URL of a running API that allows two calls a second."""
    with running(tmp_path, "2/1s", 0.0) as made:
        yield made.url


@pytest.fixture(scope="module")
def worker() -> Iterator[Celery]:
    """Yield a Celery app with the demo's tasks and a worker that runs them one by one.

    Messages and results live in memory.
    """
    before = current_app._get_current_object()
    app = Celery(
        "test", broker="memory://", backend="cache+memory://", include=["warren.demo.tasks"]
    )
    app.conf.broker_transport_options = {"polling_interval": 0.02}
    with working(app):
        yield app
    before.set_current()


@pytest.fixture
def app(tmp_path: Path, worker: Celery) -> Celery:
    """The app with a state directory of the test's own."""
    worker.conf.warren_state_dir = str(tmp_path)
    use(worker, "http://127.0.0.1:9")
    return worker


def use(app: Celery, api: str) -> demo_settings.DemoSettings:
    home = Path(app.conf.warren_state_dir)
    file = demo_settings.file_in(home)
    demo_settings.write(
        file, demo_settings.DemoSettings(api, home / "key", home / "demo" / "files", home / "ticks")
    )
    return demo_settings.read(file)


def run(app: Celery, name: str, *arguments: Any, task_id: str | None = None) -> Any:
    return result_of(app.send_task(name, args=arguments, task_id=task_id), interval=0.02)


def run_again(app: Celery, name: str, *arguments: Any, task_id: str) -> None:
    """Deliver a task once more.

    Its result is there already, so a later task shows when it has run.
    """
    app.send_task(name, args=arguments, task_id=task_id)
    run(app, "warren.demo.add", 0, 0)


def try_in_vain(app: Celery) -> None:
    """Collects a document until it is to be retried, then makes the next try its last."""
    result = app.send_task("warren.demo.collect", args=[0])
    until(lambda: result.state == "RETRY", what="a document to be retried")
    demo_settings.file_in(Path(app.conf.warren_state_dir)).unlink()
    result_of(result, interval=0.02, propagate=False)


def calls(demo: demo_settings.DemoSettings) -> list[dict[str, Any]]:
    lines = (demo.key_file.parent / "record").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_sums_and_products(app: Celery) -> None:
    """`add` and `multiply` do what they say, called by name alone."""
    assert run(app, "warren.demo.add", 2, 2) == 4
    assert run(app, "warren.demo.multiply", 6, 7) == 42


def test_a_document_is_collected_once(app: Celery, api: str) -> None:
    """The document arrives as the API has it; the same task delivered again makes no call."""
    demo = use(app, api)
    first = run(app, "warren.demo.collect", 3, task_id="one")
    run_again(app, "warren.demo.collect", 3, task_id="one")
    headers = {"Authorization": f"Bearer {demo.key}"}
    catalogue = api_calls.session().get(f"{api}/documents", headers=headers, timeout=TIMEOUT).json()
    assert first == str(demo.directory / "00003.txt")
    assert Path(first).stat().st_size == catalogue[3]["bytes"]
    assert [call["path"] for call in calls(demo)] == ["/documents/3"]


def test_no_document_is_lost_to_refusals(app: Celery, api: str) -> None:
    """Refused with 429, a document is asked for again after Retry-After, until it is there."""
    demo = use(app, api)
    results = [app.send_task("warren.demo.collect", args=[number]) for number in range(5)]
    paths = [result_of(result, interval=0.02) for result in results]
    assert all(Path(path).stat().st_size > 0 for path in paths)
    made = calls(demo)
    slow = all(
        later["at_ns"] - call["at_ns"] > 1e9 for call, later in zip(made, made[2:], strict=False)
    )
    # a machine on which there was nothing to refuse
    assert 429 in [call["status"] for call in made] or slow


def test_a_document_that_does_not_exist_is_not_asked_for_again(app: Celery, api: str) -> None:
    """A refusal that time does not mend fails the task after one call and writes no file."""
    demo = use(app, api)
    with pytest.raises(Exception, match="404"):
        run(app, "warren.demo.collect", 999_999)
    assert len(calls(demo)) == 1
    assert not demo.directory.exists()


def test_an_api_that_is_away_costs_no_allowance(app: Celery, ledger: Ledger) -> None:
    """A refused connection is tried again later, and releases its slot: the call was never sent."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        (Path(app.conf.warren_state_dir) / "key").write_text("key", encoding="ascii")
        use(app, f"http://127.0.0.1:{nobody.getsockname()[1]}")
        try_in_vain(app)
    assert ledger.counts().free == 50


def test_an_answer_that_breaks_off_costs_a_slot(app: Celery, ledger: Ledger) -> None:
    """A connection that breaks after the call was sent proves nothing, so its slot cools."""

    class Breaking(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Breaking) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (Path(app.conf.warren_state_dir) / "key").write_text("key", encoding="ascii")
        use(app, f"http://127.0.0.1:{server.server_port}")
        try_in_vain(app)
        server.shutdown()
    assert ledger.counts().cooling == ledger.counts().admitted > 0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web site with one page."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "page").write_bytes(b"x" * 100_000)
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(quiet, directory=tmp_path / "site")
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_download_arrives_and_is_listed(app: Celery, site: str) -> None:
    """`download` puts the bytes under the name that was asked for, and `list` shows them."""
    use(app, site)
    path = run(app, "warren.demo.download", f"{site}/page", "my page.bin")
    assert Path(path).read_bytes() == b"x" * 100_000
    assert run(app, "warren.demo.list") == [{"name": "my page.bin", "bytes": 100_000}]


@pytest.mark.parametrize("name", ["../page", "/etc/page", "a/b", "", "nul\0", "x" * 300])
def test_a_download_does_not_leave_the_directory(app: Celery, site: str, name: str) -> None:
    """A name that leads elsewhere fails the task before anything is fetched or written."""
    with pytest.raises(ValueError, match="filename: expected"):
        run(app, "warren.demo.download", f"{site}/page", name)
    assert run(app, "warren.demo.list") == []


def test_a_download_that_is_refused_leaves_no_file(app: Celery, site: str) -> None:
    """A page that is not there fails the task and leaves nothing in the directory."""
    use(app, site)
    with pytest.raises(Exception, match="404"):
        run(app, "warren.demo.download", f"{site}/nothing", "page")
    assert run(app, "warren.demo.list") == []


def test_the_report_ranks_the_words_of_the_documents(app: Celery) -> None:
    """`report` writes so many rows, the most frequent word first, and returns the file's path."""
    directory = use(app, "").directory
    directory.mkdir()
    (directory / "00000.txt").write_text("Queue, queue; worker! a 12 queue", encoding="utf-8")
    (directory / "00001.txt").write_bytes(b"worker \xff beat")
    (directory / "other.bin").write_text("ignored ignored ignored ignored", encoding="utf-8")
    path = run(app, "warren.demo.report", 2)
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [["rank", "word", "times"], ["1", "queue", "3"], ["2", "worker", "2"]]


def test_a_report_is_not_led_out_of_the_directory_by_its_id(app: Celery) -> None:
    """A caller chooses the id of its task, and a file is named after it.

    An id that leads elsewhere fails the task.
    """
    with pytest.raises(ValueError, match="filename: expected"):
        run(app, "warren.demo.report", 1, task_id="x/../../escaped")


@pytest.mark.parametrize("rows", [0, -1, 1_000_001])
def test_a_report_of_no_size_is_refused(app: Celery, rows: int) -> None:
    """Rows that cannot be are named in the error."""
    with pytest.raises(ValueError, match=f"rows: expected 1 to 1000000, found {rows}"):
        run(app, "warren.demo.report", rows)


def test_every_tick_leaves_a_line(app: Celery) -> None:
    """Each run of `tick` appends one line with the id of the task, so that doubles can be told."""
    ticks = use(app, "").ticks
    run(app, "warren.demo.tick", task_id="first")
    run(app, "warren.demo.tick", task_id="second")
    run_again(app, "warren.demo.tick", task_id="second")
    lines = ticks.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["task_id"] for line in lines] == ["first", "second", "second"]


@pytest.mark.parametrize(
    ("text", "found"), [("{", "Expecting"), ("[]", "without"), ('{"api": "x"}', "'key_file'")]
)
def test_settings_that_are_wrong_are_named(app: Celery, text: str, found: str) -> None:
    """An unusable settings file fails the task with the file's path and what is wrong."""
    file = demo_settings.file_in(Path(app.conf.warren_state_dir))
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Exception, match=rf"demo\.json: expected .*found.*{found}"):
        run(app, "warren.demo.list")
