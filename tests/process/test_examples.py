"""What the guides tell a newcomer to type, typed.

Each line runs in one bash, as it stands in the document.
"""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.suite import ENVIRONMENT, descendants, end
from support.wait import TIMEOUT, run_to_end, until

ROOT = Path(__file__).parents[2]
SHOP = "/tmp/shop"  # noqa: S108  the directory in the documents


class Shell:
    """One bash in the project's directory.

    A document's directory stands for another in what is typed.
    """

    def __init__(self, bash: subprocess.Popen[bytes], out: Path, shop: Path) -> None:
        self.bash = bash
        self._out = out
        self._shop = shop

    def type(self, line: str, within: float = TIMEOUT) -> tuple[int, str]:
        """Runs one line to its end: exit code, and all that was printed meanwhile."""
        mark, before = uuid.uuid4().hex, len(self._out.read_text(encoding="utf-8"))
        ended = re.compile(rf"{mark} (\d+)\n")
        assert self.bash.stdin is not None
        self.bash.stdin.write(f"{self.here(line)}\necho {mark} $?\n".encode())
        self.bash.stdin.flush()
        until(
            lambda: ended.search(self._out.read_text(encoding="utf-8")),
            within,
            f"the end of: {line}",
        )
        said, code, _ = ended.split(self._out.read_text(encoding="utf-8"))
        return int(code), said[before:]

    def here(self, text: str) -> str:
        """The text with the directory of this test in place of the document's."""
        return text.replace(SHOP, str(self._shop))


@contextmanager
def shell(scratch: Path) -> Iterator[Shell]:
    """A bash that ends with all that it started."""
    out = scratch / "bash.out"
    with out.open("wb") as output:
        bash = subprocess.Popen(
            ["bash"],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Shell(bash, out, scratch / "shop")
    finally:
        end(bash)


def block(document: str, of: str) -> list[str]:
    """The lines of the one indented block that has the text `of`."""
    text = (ROOT / document).read_text(encoding="utf-8")
    (found,) = [
        lines
        for lines in re.findall(r"(?:^    .*\n|\n(?=    ))+", text, re.MULTILINE)
        if of in lines
    ]
    return [line.removeprefix("    ") for line in found.strip("\n").splitlines()]


def answer(said: tuple[int, str]) -> bool:
    """Whether the line ended well and one of the lines that it printed ends with the answer."""
    return said[0] == 0 and any(line.endswith("107.0") for line in said[1].splitlines())


def walk(typed: Shell, suite: Path, lines: list[str]) -> Iterator[tuple[str, tuple[int, str]]]:
    """Type every line but the last, each of which must end well.

    Then type the last, which stops the suite and leaves nothing.
    """
    for line in lines[:-1]:
        said = typed.type(line)
        assert said[0] == 0, f"{line}: {said}"
        yield line, said
    _, started = typed.type("echo $!")
    family = descendants(int(started))
    assert len(family) > 1
    assert typed.type(lines[-1])[0] == 0
    assert typed.type("wait $!")[0] == 0
    assert not [member for member in family if member.alive]
    assert not (suite / "run" / "supervisord.pid").exists()


def test_the_guide_can_be_typed(scratch: Path) -> None:
    """Each line of docs/tasks.md does what the page says.

    The lines lead from the copy of the example to a suite that is gone.

    And so it does in a directory that README.md had its reader fill.
    """
    lines = block("docs/tasks.md", of="warren supervise")
    shop, done = scratch / "shop", []
    (shop / "shop").mkdir(parents=True)
    (shop / "shop" / "tasks.py").touch()
    with shell(scratch) as typed:
        for line, said in walk(typed, shop, lines):
            done.append(line.split(";")[0])
            if line.startswith("cp "):
                ini = shop / "etc" / "warren.ini"
                ini.write_text(typed.here(ini.read_text(encoding="utf-8")), encoding="utf-8")
            elif line == "warren check":
                assert "is fine" in said[1]
            elif line.startswith("until warren status"):
                assert '"ready": true' in typed.type("warren status --json")[1]
            elif line.startswith(("warren call", "python ")):
                assert answer(said), said
            if line == lines[-2]:
                until(lambda: ran(shop, "shop.report"), what="the schedule to fire")
                until(
                    lambda: len(ran(shop, "shop.fetch_price")) >= 5,
                    what="two calls, and three of the report's",
                )
    assert len(done) == 7
    assert {"warren check", "until warren status"} <= set(done)


def test_a_program_of_ones_own_says_what_is_missing() -> None:
    """Without settings the example's sender ends with one line.

    The line names the directory and what to do.
    """
    sender = [sys.executable, str(ROOT / "examples" / "shop" / "send.py")]
    environment = {**ENVIRONMENT, "WARREN_CONFIG": "/nowhere"}
    done = run_to_end(sender, env=environment, capture_output=True)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith("/nowhere: expected ")
    assert "WARREN_CONFIG" in line


def ran(shop: Path, task: str) -> list[str]:
    """The lines of worker.log that say that the task succeeded."""
    log = (shop / "log" / "worker.log").read_text(encoding="utf-8").splitlines()
    return [line for line in log if '"task_succeeded"' in line and f'"task":"{task}"' in line]


def test_the_readme_can_be_typed(scratch: Path) -> None:
    """The module, the INI file and the lines of README.md's first own project answer, and stop."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (module,) = re.findall(r"```python\n(from celery import shared_task.*?)```", text, re.DOTALL)
    shop = scratch / "shop"
    for directory in ("shop", "etc"):
        (shop / directory).mkdir(parents=True)
    (shop / "shop" / "__init__.py").touch()
    (shop / "shop" / "tasks.py").write_text(module, encoding="utf-8")
    with shell(scratch) as typed:
        ini = "\n".join(block("README.md", of="path = /tmp/shop"))
        (shop / "etc" / "warren.ini").write_text(typed.here(ini), encoding="utf-8")
        said = dict(walk(typed, shop, block("README.md", of="warren supervise &")))
    assert answer(said["warren call shop.fetch_price 7 --wait 30"])
