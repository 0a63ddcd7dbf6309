"""A task module whose import takes long is named while it does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from support.wait import deadline, end_of, until
from warren.cli import import_notice

Written = Callable[..., Path]
#: `warren check` with less patience.
CHECK = (
    "import sys; from warren.cli import import_notice as importing, main; importing.PAUSE = 0.5; "
    "sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def config(etc: Written, tmp_path: Path) -> Path:
    """Return settings with a module that is imported at once, and one that takes long.

    The second waits for a writer of the fifo `go`.
    """
    os.mkfifo(tmp_path / "go")
    (tmp_path / "quick.py").touch()
    (tmp_path / "slow.py").write_text(f"print('slow'); open({str(tmp_path / 'go')!r}).read()")
    directories = "".join(f"{name}_dir = {tmp_path / name}\n" for name in ("state", "log", "run"))
    return etc(f"[app]\n{directories}path = {tmp_path}\nmodules = quick, slow\n")


@pytest.mark.parametrize("of_root", [False, True])
def test_a_module_that_takes_long_is_named(config: Path, tmp_path: Path, of_root: bool) -> None:
    """One line on stderr names the module, and the time until which root waits.

    The answer is unchanged.
    """
    given = {**os.environ, **({"WARREN_FOR_ROOT": "1"} if of_root else {})}
    arguments = [sys.executable, "-c", CHECK, "--config", str(config), "check", "--json"]
    with open(tmp_path / "err", "wb") as err:
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=err, env=given)
    told = tmp_path / "err"
    until(lambda: "takes long" in told.read_text(encoding="utf-8"), what="a line on the module")
    with deadline("the module"), open(tmp_path / "go", "w", encoding="ascii"):
        pass
    assert end_of(process) == 0
    assert process.stdout is not None
    with process.stdout as out:
        assert out.read().startswith(b'{"ok": true')
    lines = told.read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if "takes long" in line]
    until_when = r"; the command waits until \d\d:\d\d:\d\d" if of_root else ""
    assert re.fullmatch(f"check: the import of slow takes long{until_when}", line)


def test_quick_modules_are_not_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is said of modules that are there at once, and nothing after the last."""
    with import_notice.importing("check") as begins:
        begins("quick")
        begins("quick too")
    until(lambda: not any(_tells(each) for each in threading.enumerate()), what="no timer is left")
    assert capsys.readouterr().err == ""


def _tells(thread: threading.Thread) -> bool:
    return isinstance(thread, threading.Timer) and thread.function is import_notice._tell
