"""A log line in its form for systemd's journal: one line of text.

The time and the host are left out, because the journal itself has both.
"""

from __future__ import annotations

import json
from typing import Any

from warren.system.printable import one_line

#: The priorities of syslog, which begin a line as sd-daemon(3) describes.
_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
#: The fields that the journal itself has, or that have their own position in the line.
_ELSEWHERE = frozenset(
    (
        "timestamp",
        "level",
        "event",
        "daemon",
        "program",
        "host",
        "pid",
        "logger",
        "message",
        "exception",
    )
)
#: The longest text of one value, in characters. The log file has the whole text.
_LONGEST = 400


def journal_line(line: str) -> str:
    """Return the text of a log line, such as `<6>ready: programs=worker-main, beat`."""
    fields: dict[str, Any] = json.loads(line)
    event, message = str(fields.get("event", "")), str(fields.get("message", ""))
    # The message of a library or of supervisord is a sentence. Its event says only where the
    # sentence comes from.
    parts = [message] if message else [event + (":" if set(fields) - _ELSEWHERE else "")]
    if (
        fields.get("program") not in (None, fields.get("daemon"))
        and str(fields["program"]) not in message
    ):
        parts.insert(0, f"{fields['program']}:")
    if not message:
        parts += [
            f"{name}={_text(value)}" for name, value in fields.items() if name not in _ELSEWHERE
        ]
    if exception := str(fields.get("exception", "")).strip():
        parts.append(f"({exception.splitlines()[-1]}; see {fields.get('daemon')}.log)")
    priority = _PRIORITIES.get(str(fields.get("level")), 6)
    return f"<{priority}>{one_line(' '.join(parts), 10 * _LONGEST)}"


def _text(value: object) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = ", ".join(value)
    return one_line(
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _LONGEST
    )
