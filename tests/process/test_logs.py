"""`warren logs` on the logs of real daemons, in a pipe and on a terminal, over rotations."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from collections import Counter
from pathlib import Path

from support.rotation import adapted, logrotate
from support.storm import Storm
from support.suite import ENVIRONMENT, WARREN, Suite
from support.wait import output_of, run_to_end, until

SCHEDULE = "[worker:a]\nconcurrency = 1\n[schedule:tick]\ntask = jobs.tick\nevery = 1s\n"


def test_a_task_is_followed_over_the_logs_of_all_daemons(suite: Suite) -> None:
    """The lines of one task of the schedule come from beat and from the worker, in order.

    It is the order in which they happened.
    """
    suite.write(SCHEDULE)
    with suite.running("worker", "a"), suite.running("beat"):
        done = suite.await_event("worker", "task_succeeded", task="jobs.tick")
    asked = suite.warren("logs", "--task", done["task_id"])
    assert (asked.returncode, asked.stderr) == (0, "")
    found = [json.loads(line) for line in asked.stdout.splitlines()]
    # A worker may have begun the task, and done it, before beat writes that it has sent it.
    expected = [("beat", "tick_sent"), ("worker", "task_started"), ("worker", "task_succeeded")]
    assert sorted((line["daemon"], line["event"]) for line in found) == expected
    assert [line["timestamp"] for line in found] == sorted(line["timestamp"] for line in found)
    everything = suite.warren("logs").stdout.splitlines()
    assert sorted(everything) == sorted(
        line
        for daemon in ("worker", "beat")
        for line in (suite.directory / "log" / f"{daemon}.log").read_text().splitlines()
    )
    shortly = suite.warren("logs", "--task", done["task_id"][:8], "-n", "1").stdout.splitlines()
    assert shortly == [asked.stdout.splitlines()[-1]]


def on_a_terminal(suite: Suite, *arguments: str) -> str:
    """What `warren WORDS` shows on a terminal of its own."""
    ours, theirs = pty.openpty()
    command = [str(WARREN), "--config", str(suite.etc), *arguments]
    with subprocess.Popen(
        command, env=ENVIRONMENT | {"TERM": "xterm"}, stdout=theirs, stderr=theirs, stdin=theirs
    ):
        os.close(theirs)
        said = b""
        try:
            while more := os.read(ours, 4096):
                said += more
        except OSError:  # how Linux says that the last writer is gone
            os.close(ours)
    return said.decode()


def test_a_terminal_gets_text_and_a_pipe_json(suite: Suite) -> None:
    """The same line is formatted for people on a terminal, unless JSON is asked for.

    It is coloured by its level.
    """
    directory = suite.directory / "log"
    directory.mkdir()
    line = (
        '{"timestamp":"2026-11-21T10:28:26.123456Z","level":"error","event":"task_failed","daemon":"worker","program":"worker-a",'
        '"host":"alpha","pid":7,"task":"shop.add"}'
    )
    (directory / "worker.log").write_text(line + "\n", encoding="utf-8")
    assert suite.warren("logs").stdout == line + "\n"
    assert on_a_terminal(suite, "logs", "--json").strip() == line
    shown = on_a_terminal(suite, "logs").strip()
    assert "\x1b[31m" in shown
    plain = re.sub(r"\x1b\[\d*m", "", shown)
    assert re.fullmatch(
        r"11-2[012] \d\d:\d\d:26 error    worker-a task_failed task=shop.add", plain
    )


def test_following_loses_nothing_over_rotations(suite: Suite, tmp_path: Path) -> None:
    """While four processes write and logrotate works, each line is shown once.

    logrotate rotates and compresses. Ctrl-C ends with 0.
    """
    directory = suite.directory / "log"
    configuration = adapted(directory, tmp_path)
    directory.mkdir()
    shown = tmp_path / "shown"

    def wait_for_more() -> None:
        before = shown.stat().st_size
        until(lambda: shown.stat().st_size > before, what="more lines shown")

    command = [str(WARREN), "logs", "--dir", str(directory), "--follow", "--since", "1d"]
    with open(shown, "wb") as out:
        follower = subprocess.Popen(command, env=ENVIRONMENT, stdout=out, stderr=subprocess.PIPE)
    try:
        with Storm(directory) as storm:
            for _ in range(8):
                wait_for_more()
                wait_for_more()  # the look before this one may have begun before the rotation
                until(storm.grown, what="lines to rotate")
                logrotate(configuration, "--force")
        until(
            lambda: shown.read_bytes().count(b'"message":"last"') == len(storm.written),
            what="the last lines",
        )
        follower.send_signal(signal.SIGINT)
        assert output_of(follower)[1] == b""
        assert follower.returncode == 0
    finally:
        follower.kill()
        follower.wait()
    found = Counter(
        (line["program"], line["number"])
        for line in map(json.loads, shown.read_text().splitlines())
    )
    assert found == Counter(
        (program, number) for program, count in storm.written.items() for number in range(count)
    )


def test_a_reader_that_has_seen_enough_ends_it_quietly(suite: Suite) -> None:
    """`warren logs | head -1` complains about nothing."""
    directory = suite.directory / "log"
    directory.mkdir()
    line = (
        '{"timestamp":"2026-11-21T10:28:26.123456Z","level":"error",'
        '"event":"task_failed","daemon":"worker"}\n'
    )
    (directory / "worker.log").write_text(line * 50_000, encoding="utf-8")
    command = f"{WARREN} --config {suite.etc} logs | head -1"
    done = run_to_end(["bash", "-c", command], env=ENVIRONMENT, capture_output=True)
    assert (done.stdout, done.stderr) == (line, "")
