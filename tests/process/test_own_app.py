"""A project with its own Celery app runs under Warren with three lines of INI."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from support import own_app
from support.project_schedules import GOOD
from support.suite import ENVIRONMENT, Suite
from support.wait import TIMEOUT, run_to_end

NAME = "project_of_its_own"
INI = f"""
[worker:a]
[schedule:each]
task = {NAME}.celery.add
every = 1s
args = [20, 3]
"""


@pytest.fixture
def project(suite: Suite) -> Suite:
    """The suite of the project."""
    own_app.write(suite.directory / "app", NAME)
    head = [line for line in suite.head.splitlines() if not line.startswith("modules")]
    suite.head = "\n".join([*head, f"celery = {NAME}.celery:app", ""])
    suite.write(INI)
    return suite


@pytest.fixture
def started(project: Suite) -> Iterator[Suite]:
    """A worker and the beat of the project."""
    with project.running("worker", "a"), project.running("beat"):
        project.await_event("worker", "ready")  # before that `warren call` finds no embedded broker
        yield project


def _called(suite: Suite, task: str, *arguments: object) -> object:
    done = suite.warren(
        "call", f"{NAME}.{task}", *map(str, arguments), "--wait", f"{TIMEOUT:g}s", "--json"
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["result"]


def test_each_task_of_the_project_runs(started: Suite) -> None:
    """However it was registered; and a task that is sent by another one arrives, too."""
    for task, (arguments, result) in own_app.TASKS.items():
        assert _called(started, task, *arguments) == result
    sent = _called(started, "celery.send", 21)
    started.await_event("worker", "task_succeeded", task_id=sent, task=f"{NAME}.celery.add")
    assert "geheim" not in (started.directory / "log" / "worker.log").read_text(encoding="utf-8")


def test_a_schedule_of_the_ini_sends_its_tasks(started: Suite) -> None:
    """Beat has the project's app as well."""
    started.await_event("worker", "task_succeeded", task=f"{NAME}.celery.add")


def test_beat_takes_new_settings_of_the_sending(started: Suite) -> None:
    """It starts again for them, because a process has one app of the project."""
    beat = started.await_event("beat", "ready")
    started.write(
        f"{INI}[queue:other]\ntasks = {NAME}.more.*\n[queue:default]\n".replace(
            "[worker:a]", "[worker:a]\nqueues = default, other"
        )
    )
    os.kill(beat["pid"], signal.SIGHUP)
    ended = started.await_event("beat", "stopped", exit_code=75)
    assert ended["pid"] == beat["pid"]


def test_the_schedule_of_the_project(project: Suite) -> None:
    """Beat sends it without a section in the INI, check counts it, and a section switches it off.

    Beat reads the project again when it starts again.
    """
    own_app.extend(project.directory / "app", NAME, GOOD)
    ini = "[worker:a]\nqueues = default, other\n[queue:other]\n"
    project.write(ini)
    done = project.warren("check")
    assert done.returncode == 0, done.stderr
    assert ", 3 schedules\n" in done.stdout
    assert "from the app's beat_schedule: every second, nightly, late" in done.stdout
    assert "beat_schedule of the app" not in done.stderr
    found = json.loads(project.warren("check", "--json").stdout)["beat_schedule"]
    assert found["nightly"]["cron"]["value"] == "0 3 * * *"
    assert found["nightly"]["cron"]["origin"]["file"].endswith("/celery.py")
    with project.running("worker", "a"), project.running("beat"):
        ready = project.await_event("beat", "ready")
        assert {"every second", "nightly", "late"} <= set(ready["entries"])
        project.await_event("worker", "task_succeeded", task=f"{NAME}.celery.add")
        shown = project.heartbeat("beat")
        assert shown is not None
        assert shown["details"]["entries"] == len(ready["entries"])
        project.write(f"{ini}[schedule:every second]\nenabled = false\n")
        os.kill(ready["pid"], signal.SIGHUP)
        taken = project.await_event("beat", "reloaded")
        assert "every second" not in taken["entries"]
    module = project.directory / "app" / NAME / "celery.py"
    module.write_text(module.read_text(encoding="utf-8").replace('"late"', '"later"'))
    with project.running("beat") as beat:
        project.await_event("beat", "ready", pid=beat.pid)
        last = project.logged("beat", "ready", pid=beat.pid)[-1]
        assert "later" in last["entries"]


def test_the_routes_of_the_project(project: Suite) -> None:
    """A task goes to the same queue by call, by beat and from another task."""
    own_app.extend(project.directory / "app", NAME, "app.conf.task_routes = {'*.add': 'other'}\n")
    project.write(INI)
    done = project.warren("check")
    assert done.returncode == 78
    assert "task_routes['*.add']: expected a declared queue, found 'other'" in done.stderr
    project.write(
        f"{INI}[queue:other]\n".replace("[worker:a]", "[worker:a]\nqueues = default, other")
    )
    done = project.warren("check")
    assert done.returncode == 0, done.stderr
    assert "task_routes" not in done.stderr
    with project.running("worker", "a"), project.running("beat"):
        project.await_event("worker", "ready")
        assert _called(project, "celery.add", 1, 2) == 3
        sent = _called(project, "celery.send", 21)
        tick = project.await_event("beat", "tick_sent")["task_id"]
        project.await_event("worker", "task_succeeded", task_id=sent, queue="other")
        project.await_event("worker", "task_succeeded", task_id=tick, queue="other")
        call = project.warren("call", f"{NAME}.celery.add", "1", "1", "--queue", "default")
        chosen = call.stdout.split()[0]
        project.await_event("worker", "task_succeeded", task_id=chosen, queue="default")
    ended = project.logged("worker", "task_succeeded")
    assert {each["queue"] for each in ended if each["task"].endswith(".send")} == {"default"}
    others = {each["queue"] for each in ended if each["task"].endswith(".add")}
    assert others == {"other", "default"}
    assert len([each for each in ended if each["queue"] == "default"]) == 2


def test_a_call_without_the_project(project: Suite) -> None:
    """A host that cannot read the routes does not guess the queue; the caller may name it."""
    with project.running("worker", "a"):
        project.await_event("worker", "ready")
    (project.directory / "app" / NAME / "celery.py").write_text("1 / 0\n", encoding="utf-8")
    done = project.warren("call", f"{NAME}.celery.add", "1", "2")
    assert done.returncode == 78
    assert "ZeroDivisionError" in done.stderr
    assert "name the queue with --queue" in done.stderr
    done = project.warren("call", f"{NAME}.celery.add", "1", "2", "--queue", "default")
    assert done.returncode == 0, done.stderr


def test_beat_without_the_project(project: Suite) -> None:
    """It ends as for any error of the configuration: at the line of the option, and not again."""
    (project.directory / "app" / NAME / "celery.py").unlink()
    done = project.warren("beat")
    assert done.returncode == 78
    assert f"[app] celery: expected {NAME}.celery to be a module" in done.stderr


def test_variables_of_the_project(project: Suite) -> None:
    """Worker, beat and check have them before the import; after an edit beat starts again."""
    module = project.directory / "app" / NAME / "celery.py"
    text = module.read_text(encoding="utf-8")
    module.write_text(
        f"import os\nWORD = os.environ['SHOP_WORD'] + os.environ['SHOP_TOKEN']\n{text}\n"
        "@app.task\ndef word():\n    return WORD\n",
        encoding="utf-8",
    )
    secrets = project.directory / "secrets"
    secrets.touch(mode=0o600)
    secrets.write_text("SHOP_TOKEN='geheim too'\n", encoding="utf-8")
    done = project.warren("check")
    assert done.returncode == 78
    assert "KeyError: 'SHOP_WORD'" in done.stderr
    project.head += f"environment_file = {secrets}\nenvironment =\n    SHOP_WORD=a\n"
    project.write(INI)
    done = project.warren("check")
    assert done.returncode == 0, done.stderr
    with project.running("worker", "a"), project.running("beat"):
        project.await_event("worker", "ready")
        assert _called(project, "celery.word") == "ageheim too"
        beat = project.await_event("beat", "ready")
        secrets.write_text("SHOP_TOKEN=other\n", encoding="utf-8")
        os.kill(beat["pid"], signal.SIGHUP)
        project.await_event("beat", "stopped", exit_code=75)
    shown = project.warren("show-config").stdout
    assert "SHOP_WORD=a" in shown
    assert "geheim" not in shown


def test_check_tells_what_the_app_sets_in_vain(project: Suite) -> None:
    """Each setting with its place, and none of the values."""
    done = project.warren("check")
    assert done.returncode == 0, done.stderr
    assert "celery.py:4: broker_url of the app is not used: set [broker] url" in done.stderr
    assert "settings.py:3: accept_content of the app is not used" in done.stderr
    assert "geheim" not in done.stderr
    (project.directory / "app" / NAME / "more.py").write_text("1 / 0\n", encoding="utf-8")
    done = project.warren("check")
    assert done.returncode == 78
    assert "[app] celery: expected the modules of" in done.stderr


def test_a_program_of_the_project_sends_with_its_own_code(started: Suite) -> None:
    """Two variables lead its `delay()` to the suite, and its `AsyncResult` to the result."""
    code = f"""
from {NAME}.celery import add
result = add.delay(20, 22)
assert type(result.app).__name__ == "Celery", type(result.app)
print(result.get(timeout={TIMEOUT}))
"""
    done = run_to_end(
        [sys.executable, "-c", code],
        env=ENVIRONMENT
        | {
            "CELERY_LOADER": "warren.app.client_loader:Loader",
            "WARREN_CONFIG": str(started.etc),
            "PYTHONPATH": str(started.directory / "app"),
        },
        capture_output=True,
    )
    assert done.stdout == "42\n", done.stderr
