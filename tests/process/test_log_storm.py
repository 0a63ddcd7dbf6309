"""The log under what production does to it: many writers, rotation, forks, a full disk, a crash."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support.figures import Figure
from support.wait import output_of, until

WRITERS, LINES = 8, 5_000

WRITER = """
import logging, pathlib, sys
from warren.logs import setup as log
directory, name, lines = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
log.configure("worker", name, "alpha", directory)
for number in range(lines):
    # every thousandth line is longer than a page and than a pipe's atomic write
    pad = "x" * (20_000 if number % 1000 == 0 else 50)
    logging.getLogger("storm").info("line", extra={"number": number, "pad": pad})
"""

FORKER = """
import logging, os, pathlib, sys, threading
from warren.logs import setup as log
log.configure("worker", "worker-a", "alpha", pathlib.Path(sys.argv[1]))
over = threading.Event()
def chatter():
    while not over.is_set():
        logging.getLogger("chatter").info("parent")
threads = [threading.Thread(target=chatter) for _ in range(4)]
for thread in threads:
    thread.start()
for number in range(100):
    if (pid := os.fork()) == 0:
        logging.getLogger("child").info("child", extra={"number": number})
        os._exit(0)
    os.waitpid(pid, 0)
over.set()
"""

# A limit on the file's size tears a write exactly as a full disk does, and can be lifted again.
TORN = """
import logging, pathlib, resource, sys
from warren.logs import setup as log
directory = pathlib.Path(sys.argv[1])
log.configure("worker", "worker-a", "alpha", directory)
logger = logging.getLogger("a")
logger.info("before")
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, ((directory / "worker.log").stat().st_size + 30, hard))
logger.info("torn")
logger.info("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
logger.info("after")
"""

CRASH = """
import pathlib, sys
from warren.logs import setup as log
log.configure("beat", "beat", "alpha", pathlib.Path(sys.argv[1]))
raise ZeroDivisionError("amqp://user:s3cret@host")
"""


def start(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> str:
    """What the process said on stderr, once it has ended."""
    try:
        return str(output_of(process)[1])
    finally:
        process.kill()


def records(directory: Path) -> list[dict[str, object]]:
    return [
        json.loads(line)
        for path in directory.glob("worker.log*")
        for line in path.read_bytes().split(b"\n")[:-1]
    ]


def test_a_storm_under_rotation_loses_and_tears_no_line(tmp_path: Path, figure: Figure) -> None:
    """Eight processes write 5,000 lines each while the file is rotated all the time.

    Every line is there, once, whole.
    """
    writers = [start(WRITER, tmp_path, f"worker-{number}", str(LINES)) for number in range(WRITERS)]
    log, rotations = tmp_path / "worker.log", 0

    def rotated() -> bool:
        nonlocal rotations
        # Only a file that is in use is rotated: otherwise the rotation would outrun the writers and
        # show nothing.
        if log.exists() and log.stat().st_size > 100_000:
            log.rename(tmp_path / f"worker.log.{rotations}")
            rotations += 1
        return all(writer.poll() is not None for writer in writers)

    until(rotated, within=600, what="the end of the writers", every=0)
    assert [end(writer) for writer in writers] == [""] * WRITERS
    assert rotations > 2, "the writers were to meet rotations"
    figure("eight writers of 5,000 lines: rotations", rotations, "dozens")
    found = sorted((str(line["program"]), int(str(line["number"]))) for line in records(tmp_path))
    assert found == [
        (f"worker-{writer}", number) for writer in range(WRITERS) for number in range(LINES)
    ]


def test_a_fork_in_the_middle_of_a_line_does_not_hang_the_child(tmp_path: Path) -> None:
    """A pool child that was forked while another thread wrote can log at once."""
    process = start(FORKER, tmp_path)
    assert end(process) == ""
    assert process.returncode == 0
    numbers = [line["number"] for line in records(tmp_path) if line["logger"] == "child"]
    assert sorted(map(str, numbers)) == sorted(map(str, range(100)))


def test_a_full_disk_costs_only_the_lines_it_had_no_room_for(tmp_path: Path) -> None:
    """Half a line that did not fit becomes a blank one.

    The loss is logged, and every line parses.
    """
    said = end(start(TORN, tmp_path))
    assert said.count("\n") == 1, said
    before, blank, told, after = (tmp_path / "worker.log").read_text().splitlines()
    assert blank == " " * 29
    assert [json.loads(line)["message"] for line in (before, after)] == ["before", "after"]
    assert json.loads(told)["event"] == "cannot_write"
    assert json.loads(told)["lost"] == 2


def test_a_crash_is_in_the_log_and_on_stderr(tmp_path: Path) -> None:
    """An uncaught exception ends the daemon, with a line that has its traceback.

    The line has no secret.
    """
    said = end(start(CRASH, tmp_path))
    assert said.endswith("ZeroDivisionError: amqp://user:***@host\n")
    [line] = (tmp_path / "beat.log").read_text().splitlines()
    crash = json.loads(line)
    assert (crash["event"], crash["level"]) == ("crashed", "critical")
    assert crash["exception"].endswith("ZeroDivisionError: amqp://user:***@host")
