"""supervisord's messages as log lines with fields."""

from __future__ import annotations

import re
from typing import Any

from supervisor.loggers import Logger, LogRecord

from warren.errors import MEANINGS, ExitCode
from warren.logs import setup
from warren.logs.events import Event
from warren.logs.formatter import level_name

_FORMS = tuple(
    re.compile(form)
    for form in (
        r"spawned: '(?P<program>[^']+)' with pid (?P<child_pid>\d+)$",
        r"(?:success|gave up): (?P<program>\S+) entered (?P<state>[A-Z]+) state",
        r"(?:exited|stopped): (?P<program>\S+) \("
        r"(?:exit status (?P<exit_status>\d+)|terminated by (?P<signal>[\w ]+?)(?: \(core "
        r"dumped\))?)"
        r"(?:; (?P<expected>expected|not expected))?\)$",
        r"killing '(?P<program>[^']+)' \((?P<child_pid>\d+)\) with (?P<signal>\w+)$",
        r"waiting for (?P<program>\S+) to stop$",
    )
)

# These are true, but an operator need not act: the socket has mode 0700, and supervisor.d is
# optional.
_NOISE = (
    "Server 'unix_http_server' running without any HTTP authentication checking",
    'No file matches via include "',
)


def worded(message: str) -> str:
    """Return the message in words for people.

    A daemon that wants to be restarted ends with an exit code that supervisord does not expect, and
    so supervisord restarts it. For people, and in the field `expected`, that exit is expected.
    """
    return message.replace(
        f"(exit status {ExitCode.RESTART}; not expected)",
        f"(exit status {ExitCode.RESTART}; expected)",
    )


def about(message: str) -> dict[str, object]:
    """Return the fields of a message about one program.

    The fields are program, and child_pid, state, signal, exit_status and expected where the message
    has them, and meaning where the exit status is one of Warren's.
    """
    found = next((match for form in _FORMS if (match := form.match(message))), None)
    if found is None:
        return {}
    fields: dict[str, object] = {
        name: text for name, text in found.groupdict().items() if text is not None
    }
    for name in ("child_pid", "exit_status"):
        if name in fields:
            fields[name] = int(found[name])
    if "expected" in fields:
        fields["expected"] = found["expected"] == "expected"
    if fields.get("exit_status") in MEANINGS:
        fields["meaning"] = MEANINGS[int(found["exit_status"])]
    return fields


def _asked_for(message: str, fields: dict[str, object]) -> bool:
    """Return whether the message reports an end that somebody asked for.

    supervisord warns of each exit status that is not final.
    """
    status = fields.get("exit_status")
    return status == ExitCode.RESTART or (status == ExitCode.OK and message.startswith("stopped: "))


def is_noise(message: str) -> bool:
    """Return whether a message says nothing that an operator could act on."""
    return message.startswith(_NOISE)


class RecordLogger(Logger):
    """Replaces supervisord's own logger, whose file would not be JSON."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._logger = setup.logger()

    def log(self, level: int, msg: Any, **kw: Any) -> None:
        """Write each message as one supervisor_record; `level` is one of supervisor's numbers."""
        message = worded(LogRecord(level, msg, **kw).asdict()["message"].rstrip())
        if not is_noise(message):
            fields = about(message)
            level_of = "info" if _asked_for(message, fields) else level_name(level)
            getattr(self._logger, level_of)(Event.SUPERVISOR_RECORD, message=message, **fields)
