"""The options `--keep` and `--stop`: a run that continues after the command that started it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from warren.app.factory import make_app
from warren.config import load
from warren.demo.quickstart.cleanup import remove_traces
from warren.demo.quickstart.command_names import typed
from warren.demo.quickstart.processes import end
from warren.demo.quickstart.scratch import Scratch
from warren.demo.quickstart.suite_run import Suite
from warren.errors import WarrenError
from warren.system.process import Process, boot

_FILE = "kept.json"


def keep(suite: Suite) -> str:
    """Write a file with what `stop` needs; return the text to print for the user."""
    home = suite.scratch.home
    processes = [[process.pid, process.start] for process in suite.running()]
    told = {"boot": boot(), "processes": processes, "suffix": suite.scratch.suffix}
    (home / _FILE).write_text(json.dumps(told), encoding="utf-8")
    quickstart, warren = typed(Path(sys.prefix))
    return (
        "The suite continues. To look:\n"
        f"  {warren} --config {home}/config status\n"
        f"  tail -qf {home}/log/*.log\n"
        f"  {warren} --config {home}/config call warren.demo.add 2 2 --wait 10\n"
        "(one JSON object a line: with jq, which is optional, add | jq to the tail)\n"
        "To stop:\n"
        f"  {quickstart} --stop {home}"
    )


def stop(home: Path) -> None:
    """End a run that was kept; its files stay. Raises WarrenError when there is no such run."""
    file = home.absolute() / _FILE
    try:
        told = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise WarrenError(
            f"{home}: expected a run that --keep left, found none; name the directory that it "
            "printed"
        ) from error
    except (OSError, ValueError) as error:
        raise WarrenError(
            f"{file}: expected the file that `quickstart --keep` left, found: {error}; name the "
            "directory that it printed"
        ) from error
    if told["boot"] == boot():  # after a reboot the numbers belong to other processes
        for pid, start in told["processes"]:
            end(Process(pid, start))
    scratch = Scratch(file.parent, told["suffix"])
    settings = load(scratch.config)
    if not settings.broker.embedded:
        remove_traces(make_app(settings), scratch.queues)
    scratch.forget()
    file.unlink()
