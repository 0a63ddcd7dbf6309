"""`warren web`: a client sends tasks over HTTP, and sees their state."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.suite import Suite
from support.wait import TIMEOUT, run_to_end, until
from support.web import OTHER, TOKEN, Web

ROOT = Path(__file__).parents[2]


@contextmanager
def listening(web: Web) -> Iterator[subprocess.Popen[bytes]]:
    """The web daemon, ready."""
    before = len(web.suite.logged("web", "ready"))
    with web.suite.running("web") as daemon:
        until(lambda: len(web.suite.logged("web", "ready")) > before, TIMEOUT, "ready in web.log")
        yield daemon


@pytest.fixture
def web(suite: Suite) -> Iterator[Web]:
    """A worker and the web daemon."""
    made = Web(suite)
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        yield made


def test_a_task_and_its_result(web: Web) -> None:
    """Sent, run, told; with the name of the client in the log, and without its token."""
    with listening(web):
        answer = web.send("shop.add", 2, 3)
        assert (answer.status_code, answer.headers["Location"]) == (202, answer.json()["state_url"])
        sent = answer.json()["task_id"]
        told = until(lambda: (told := web.state(sent))["ended"] and told, TIMEOUT, "the result")
        assert told == {"task_id": sent, "state": "SUCCESS", "ended": True, "result": 5}
        failed = web.send("shop.fail").json()["task_id"]
        until(lambda: web.state(failed)["ended"], TIMEOUT, "the failure")
        assert web.state(failed)["error"] == "ValueError: amqp://user:***@host is away"
        names = [each["task"] for each in web.ask("GET", "/tasks").json()["tasks"]]
        assert names == ["shop.add", "shop.count", "shop.fail", "shop.steps"]
    line = web.suite.await_event("web", "web_sent", task_id=sent)
    assert (line["client"], line["task"]) == ("portal", "shop.add")
    logs = "".join(path.read_text("utf-8") for path in (web.suite.directory / "log").iterdir())
    assert TOKEN not in logs
    assert "geheim" not in logs


def test_the_stream_of_a_task(web: Web) -> None:
    """Each change of its state, the last with its result; then the stream ends."""
    with listening(web):
        sent = web.send("shop.steps", 6).json()["task_id"]
        with web.ask("GET", f"/tasks/{sent}/events", stream=True) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = [line for line in answer.iter_lines(decode_unicode=True) if line]
    states = [json.loads(line.removeprefix("data: ")) for line in lines if line[:5] == "data:"]
    assert (states[-1]["state"], states[-1]["result"]) == ("SUCCESS", {"rows": 6})
    steps = [state["done"] for state in states if state["state"] == "PROGRESS"]
    assert steps == sorted(set(steps))
    assert len(steps) >= 2
    assert {line for line in lines if line[:6] == "event:"} == {"event: state"}


def test_nothing_that_is_not_allowed(web: Web) -> None:
    """A task outside the list, no token, a wrong one: nothing is sent, and nothing breaks."""
    with listening(web):
        assert web.send("private.wipe").status_code == 404
        assert web.ask("POST", "/tasks/shop.add", token="x" * 32, json={}).status_code == 401
        assert web.ask("GET", "/tasks/x", token="").status_code == 401
        for path in ("/tasks/..%2f..%2fetc", "/tasks/a%2fb", "//tasks/shop.add", "/tasks/a/../b"):
            assert web.ask("GET", path).status_code in (200, 400, 404), path
        large = web.ask("POST", "/tasks/shop.add", data=b"x" * 10**6)
        assert large.status_code == 413
        plain = web.ask("POST", "/tasks/shop.add", data=b'{"args": [1]}')
        assert plain.status_code == 415
        assert web.ask("PUT", "/tasks/shop.add").status_code == 405
        assert web.send("shop.add", 1).status_code == 202
    assert not web.suite.logged("worker", "task_started", task="private.wipe")
    assert sum(line["requests"] for line in web.suite.logged("web", "web_refused")) == 2


def test_a_key_sends_once(web: Web) -> None:
    """Also over a kill; another body is refused; another client has keys of its own."""
    ran = web.suite.directory / "ran"
    with listening(web) as daemon:
        first = web.send("shop.count", str(ran), Idempotency_Key="k").json()["task_id"]
        until(lambda: web.state(first)["ended"], TIMEOUT, "the first task")
        assert web.send("shop.count", str(ran), Idempotency_Key="k").json()["task_id"] == first
        assert web.send("shop.count", str(ran), 2, Idempotency_Key="k").status_code == 422
        daemon.send_signal(signal.SIGKILL)
        daemon.wait(TIMEOUT)
    with listening(web):
        assert web.send("shop.count", str(ran), Idempotency_Key="k").json()["task_id"] == first
        body = {"args": [str(ran)]}
        headers = {"Idempotency-Key": "k"}
        theirs = web.ask("POST", "/tasks/shop.count", OTHER, json=body, headers=headers)
        second = theirs.json()["task_id"]
        assert second != first
        until(lambda: web.state(second)["ended"], TIMEOUT, "the other client's task")
    assert ran.read_text(encoding="utf-8") == "ran\n" * 2


def test_edits_of_the_settings(web: Web) -> None:
    """Tokens and tasks change while it runs; for another port it starts again."""
    with listening(web) as daemon:
        web.tokens.write_text(f"other {OTHER}\n", encoding="utf-8")
        web.suite.write(web.ini.replace("tasks = shop.*", "tasks = private.*"))
        os.kill(daemon.pid, signal.SIGHUP)
        web.suite.await_event("web", "reloaded")
        until(
            lambda: web.ask("GET", "/tasks", OTHER).json()["tasks"][0]["task"] == "private.wipe",
            TIMEOUT,
            "the new list of tasks",
        )
        assert web.ask("GET", "/tasks").status_code == 401
        web.suite.write(web.ini.replace("listen = 127.0.0.1", "listen = 127.0.0.2"))
        os.kill(daemon.pid, signal.SIGHUP)
        assert daemon.wait(TIMEOUT) == 75


def test_a_port_that_is_taken(web: Web) -> None:
    """It says who to look for, and ends with 69."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", web.port))
        taken.listen()
        done = web.suite.warren("web")
    assert done.returncode == 69
    assert f"cannot listen at 127.0.0.1:{web.port}: Address already in use" in done.stderr


def test_the_lines_of_the_guide(web: Web, tmp_path: Path) -> None:
    """Each `curl` of docs/web.md does what the page says."""
    page = (ROOT / "docs" / "web.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    (curl (?:.*\\\n)*.*)", page, re.MULTILINE)
    assert len(lines) == 5
    setup = "\n".join(re.findall(r"^    ((?:TOKEN|WEB)=.*)", page, re.MULTILINE))
    setup = setup.replace("/etc/warren/web-tokens", str(web.tokens))
    setup = re.sub(r"http://127.0.0.1:\d+", web.url, setup)
    answers: list[dict[str, Any]] = []
    with listening(web):
        for line in lines:
            task_id = answers[0]["task_id"] if answers else "ID"
            typed = line.replace("shop.reports.add", "shop.add").replace("/ID", f"/{task_id}")
            command = ["bash", "-c", f"{setup}\n{typed}"]
            done = run_to_end(command, capture_output=True, check=True, cwd=tmp_path)
            said = done.stdout
            if "-N" not in line:
                answers.append(json.loads(said))
            else:
                assert said.endswith('"ended": true, "result": 4}\n\n')
    sent, state, tasks, once = answers
    assert sent["task"] == once["task"] == "shop.add"
    assert state["task_id"] == sent["task_id"]
    assert len(tasks["tasks"]) == 4
