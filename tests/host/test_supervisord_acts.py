"""What a task may do to the suite of a booted host, act after act.

Each time all of it recovers by itself.
"""

from __future__ import annotations

from functools import partial

import pytest

from support.figures import Figure
from support.installed import TASKS, Installed
from support.wait import until

PROGRAMS = ["beat", "quota-watchdog", "worker-main"]
#: As a task would: as the suite's user, over supervisord's socket. The answer to a stop of all may
#: never come: the first to stop is started again before the last one has stopped.
ASK = """
import os, signal, sys
def enough(*_):
    raise TimeoutError("no answer")
signal.signal(signal.SIGALRM, enough)
signal.alarm(30)
from xmlrpc.client import MultiCall, ServerProxy
from supervisor.xmlrpc import SupervisorTransport
asked = ServerProxy("http://localhost", SupervisorTransport(serverurl="unix:///run/warren/supervisor.sock"))
def at_once(*calls):
    several = MultiCall(asked)
    for method, *arguments in calls:
        getattr(several.supervisor, method)(*arguments)
    several()
def foreign(name):
    with open(f"/run/warren/supervisor/{name}.conf", "w") as file:
        file.write(f"[program:{name}]\\ncommand = sleep 3603\\nautorestart = true\\n")
        file.write("stopsignal = USR1\\nstopwaitsecs = 3600\\n")
    at_once(("reloadConfig",), ("addProcessGroup", name))
try:
    exec(sys.argv[1])
except Exception as error:
    print(type(error).__name__, error)
"""
#: What is done, by name, and the event that tells of it; an act with none ends supervisord, which
#: systemd starts again.
ACTS = {
    "stop all": ("asked.supervisor.stopAllProcesses()", "program_restored"),
    "remove": (
        (
            "[(asked.supervisor.stopProcess(n), asked.supervisor.removeProcessGroup(n)) for n in "
            "('beat', 'worker-main')]"
        ),
        "program_restored",
    ),
    "add": ("foreign('anything')", "program_removed"),
    "kill all": ("asked.supervisor.signalAllProcesses('KILL')", "supervisor_record"),
    "unlink": (
        "[os.unlink(e.path) for e in os.scandir('/run/warren') if not e.is_dir()]",
        "run_directory_restored",
    ),
    "spoil": (
        (
            "[open(f'/run/warren/{n}', 'w').write('garbage') for n in ('programs.json', "
            "'supervisord.conf', 'supervisord.pid')]"
        ),
        "run_directory_restored",
    ),
    "hang up": ("os.kill(asked.supervisor.getPID(), 1)", "reloaded"),
    "user 1": ("os.kill(asked.supervisor.getPID(), 10)", "state_dumped"),
    "user 2": ("os.kill(asked.supervisor.getPID(), 12)", "supervisor_record"),
    "shutdown": ("asked.supervisor.shutdown()", ""),
    "restart": ("asked.supervisor.restart()", ""),
    "terminate": ("os.kill(asked.supervisor.getPID(), 15)", ""),
    "interrupt": ("os.kill(asked.supervisor.getPID(), 2)", ""),
    "quit": ("os.kill(asked.supervisor.getPID(), 3)", ""),
    "shutdown once more": ("asked.supervisor.shutdown()", ""),
    "terminate once more": ("os.kill(asked.supervisor.getPID(), 15)", ""),
    "alarm": ("os.kill(asked.supervisor.getPID(), 14)", ""),
    "kill": ("os.kill(asked.supervisor.getPID(), 9)", ""),
    "stop": ("os.kill(asked.supervisor.getPID(), 19)", ""),
}


def works(suite: Installed) -> bool:
    """Whether exactly the programs of the settings are ready, and the unit is active."""
    report = suite._json("/run/warren/programs.json")
    listed = report.get("programs", [])
    return (
        sorted(each["program"] for each in listed if each["ready"])
        == PROGRAMS
        == sorted(each["program"] for each in listed)
        and report["pid"] == suite.supervisord()
        and suite.host.show("warren", "ActiveState") == "active"
    )


def more(suite: Installed, event: str, than: int) -> bool:
    """Whether the log has another line of the event."""
    return len(suite.logged("supervisord", event)) > than


def other(suite: Installed, before: int) -> bool:
    """Whether the unit has another supervisord."""
    return suite.supervisord() not in (0, before)


@pytest.mark.timeout(1800)
def test_whatever_a_task_does_the_suite_is_back(suite: Installed, figure: Figure) -> None:
    """After more acts than StartLimitBurst allows starts the suite is ready each time.

    The log reports it.
    """
    suite.host.write("/srv/jobs/ask.py", ASK)
    until(lambda: works(suite), what="a suite at work")
    for name, (act, event) in ACTS.items():
        before = suite.supervisord()
        said = len(suite.logged("supervisord", event)) if event else 0
        suite.host.run(
            "runuser",
            "-u",
            "warren",
            "--",
            "/usr/lib/warren/bin/python",
            "/srv/jobs/ask.py",
            act,
            within=120,
        )
        if event:
            until(partial(more, suite, event, said), what=f"{event} after {name}")
        else:
            until(partial(other, suite, before), what=f"another supervisord after {name}")
        until(lambda: works(suite), what=f"a suite at work after {name}")
        if event:
            assert suite.supervisord() == before, name
    assert "sleep 3603" not in "".join(suite.processes().values())
    assert not suite.logged("supervisord", "supervision_failed")
    figure(
        "acts of a task against supervisord, the suite back by itself",
        f"{len(ACTS)} of {len(ACTS)}",
        "all",
    )


MURDER = """
@shared_task(name="jobs.murder")
def murder():
    with open("/run/warren/supervisord.pid") as file:
        os.kill(int(file.read()), 9)
    time.sleep(60)
"""


@pytest.mark.timeout(1200)
def test_a_task_that_kills_supervisord_each_time_is_given_up(suite: Installed) -> None:
    """The task comes again, as it was not acknowledged, and is given up after five times.

    The unit is not given up, and other tasks run.
    """
    until(lambda: works(suite), what="a suite at work")
    suite.host.write("/srv/jobs/jobs.py", TASKS + MURDER)
    try:
        suite.host.run("warren", "restart", "--rolling", within=180)
        suite.send_all("jobs.murder", [[]])
        until(
            lambda: suite.logged("worker", "task_failed", task="jobs.murder"),
            600,
            what="the task to be given up",
        )
        until(lambda: works(suite), what="a suite at work")
        suite.send(7000, 7003)
        suite.all_done(7000, 7003, 180)
    finally:
        suite.host.write("/srv/jobs/jobs.py", TASKS)


@pytest.mark.timeout(600)
def test_a_stop_by_systemctl_is_a_stop(suite: Installed) -> None:
    """`Restart=always` does not bring back what systemd was asked to stop."""
    until(lambda: works(suite), what="a suite at work")
    suite.stop()
    assert suite.host.show("warren", "ActiveState") == "inactive"
    assert suite.host.show("warren", "SubState") == "dead"
    assert not suite.processes()
    suite.start()
