"""The first command of the README, on each broker, with every log followed as an operator would."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.suite import ENVIRONMENT

SCRIPT = Path(__file__).parents[2] / "scripts" / "quickstart"


class Followed:
    """What `tail -F` showed of a folder's logs."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def wrong(self) -> list[str]:
        """The lines that are not one JSON object."""
        return [line for line in self.lines if not _is_object(line)]


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@contextmanager
def followed(folder: Path, daemons: list[str]) -> Iterator[Followed]:
    """Follows the daemons' logs by name from before they exist, through renaming, until the block ends."""
    seen = Followed()
    paths = [str(folder / f"{daemon}.log") for daemon in daemons]
    words = ["tail", "-q", "-n", "+1", "--sleep-interval=0.1", "-F", *paths]
    tail = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert tail.stdout is not None
    reader = threading.Thread(target=lambda out=tail.stdout: seen.lines.extend(out))
    reader.start()
    try:
        yield seen
    finally:
        tail.terminate()
        reader.join(10)
        tail.wait(10)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("broker", "documents"), [("embedded", 300), ("rabbitmq", 120), ("redis", 120)])
def test_the_quickstart_keeps_its_promises(request: pytest.FixtureRequest, scratch: Path, broker: str, documents: int) -> None:
    """Nothing refused, nothing lost, no window above the limit, the batch right, the schedule fired, every log line JSON."""
    words = [str(SCRIPT), "--json", "--documents", str(documents), "--folder", str(scratch / "run")]
    if broker == "redis":
        words += ["--broker", request.getfixturevalue("redis_url")]
    elif broker == "rabbitmq":
        words += ["--broker", request.getfixturevalue("rabbitmq").url]
    daemons = ["worker", "beat", "quota-watchdog", "supervisord"]
    with followed(scratch / "run" / "log", daemons) as seen:
        started = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, err = started.communicate(timeout=200)
    assert started.returncode == 0, err
    said = json.loads(out.splitlines()[-1])
    assert set(said) == {"documents", "calls", "refused", "worst_window", "limit", "use", "batch", "ticks", "lost"}
    assert said["documents"] == documents
    assert said["calls"] >= documents
    assert said["refused"] == 0
    assert said["lost"] == 0
    assert 0 < said["worst_window"] <= said["limit"] == 60
    assert said["batch"] == [4, 8, 16, 32]
    assert said["ticks"] >= 1
    assert {json.loads(line)["daemon"] for line in seen.lines} == set(daemons)
    assert not seen.wrong()
