"""Commands of rabbitmqctl on this host: questions to RabbitMQ's node, and orders.

A password goes to standard input. It never becomes an argument, which every user of the host could
read.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from warren.errors import Unavailable, WarrenError
from warren.system.printable import one_line

#: Where root finds rabbitmqctl. Root's own PATH is not used, because it may name a directory of
#: another user.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
#: The variables of root's environment that rabbitmqctl gets: they name the node and its files.
_KEPT = ("RABBITMQ_", "ERL_")
_TIMEOUT = 120.0  # seconds; one command takes 0.5 s, and many times that on a busy host
#: The exit code of authenticate_user for a wrong password (EX_DATAERR).
_REFUSED = 65
_DOWN = "this command requires the 'rabbit' app to be running"
_AWAY = "unable to perform an operation on node"


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    return {**kept, "PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"}


@dataclass(frozen=True)
class Rabbitmqctl:
    """rabbitmqctl of the node on this host."""

    program: str
    environment: Mapping[str, str] = field(default_factory=_environment)

    def ask(self, *arguments: str) -> Any:
        """Return the node's answer, read from JSON. Raises WarrenError."""
        said = self._run("-q", *arguments, "--formatter", "json").stdout
        try:
            return json.loads(said)
        except ValueError:
            raise WarrenError(
                f"rabbitmqctl {arguments[0]}: expected JSON, found {one_line(said, 100)!r}; Warren "
                "needs RabbitMQ 3.10 or later"
            ) from None

    def tell(self, *arguments: str) -> str:
        """Give the node an order; return its answer. Raises WarrenError."""
        return self._run("-q", *arguments).stdout

    def give_password(self, command: str, user: str, password: str) -> None:
        """Run add_user or change_password. Raises WarrenError."""
        # Not with -q: then RabbitMQ 4 takes each word after the command and the name for the
        # password, reads no input, and waits for ever.
        self._run(command, user, given=password)

    def accepts(self, user: str, password: str) -> bool:
        """Return whether this is the user's password. Raises WarrenError."""
        done = self._run("authenticate_user", user, given=password, codes=(0, _REFUSED))
        return done.returncode == 0

    def _run(
        self, *arguments: str, given: str = "", codes: tuple[int, ...] = (0,)
    ) -> subprocess.CompletedProcess[str]:
        verb = next(word for word in arguments if not word.startswith("-"))
        try:
            with _interrupted_afterwards():
                done = subprocess.run(
                    [self.program, *arguments],
                    input=given,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    env=dict(self.environment),
                    cwd="/",
                    timeout=_TIMEOUT,
                    start_new_session=True,
                    check=False,
                )
        except OSError as error:
            raise Unavailable(f"{self.program}: {error.strerror}; {_INSTALL}") from None
        except subprocess.TimeoutExpired:
            raise Unavailable(
                f"rabbitmqctl {verb} has not ended in {_TIMEOUT:g} s; look at systemctl status "
                "rabbitmq-server, and try again"
            ) from None
        if done.returncode not in codes:
            raise _failure(verb, f"{done.stderr}\n{done.stdout}")
        return done


_INSTALL = (
    "run this command on the broker's host, or make this host a broker's host: apt install "
    "rabbitmq-server"
)


def find(path: str = PATH) -> Rabbitmqctl:
    """Return rabbitmqctl of this host. Raises Unavailable when there is none."""
    program = shutil.which("rabbitmqctl", path=path)
    if program is None:
        raise Unavailable(f"no rabbitmqctl in {path}: RabbitMQ is not installed here; {_INSTALL}")
    return Rabbitmqctl(program)


@contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """Delay a Ctrl-C until the end of the block.

    A command that is cut off may still change the node after Warren has undone its own work.
    """
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def _failure(verb: str, text: str) -> WarrenError:
    """Return the error for the output of a command that failed. Pure."""
    lines = [line.strip() for line in text.partition("Error:")[2].splitlines() if line.strip()]
    why = one_line(" ".join(lines[:2]) or text.strip() or "no output", 300)
    if _DOWN in text.lower():
        return Unavailable(
            f"RabbitMQ's node is stopped: {why}; run rabbitmqctl start_app, then run this command "
            "again"
        )
    if _AWAY in text:
        return Unavailable(
            f"RabbitMQ on this host does not answer: {one_line(lines[0], 200) if lines else why}; "
            "run systemctl start rabbitmq-server, then run this command again"
        )
    return WarrenError(f"rabbitmqctl {verb} failed: {why}")
