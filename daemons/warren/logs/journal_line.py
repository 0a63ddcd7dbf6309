"""A log line as systemd's journal shows it: one line of text, without the time and the host, which the journal has itself."""

from __future__ import annotations

import json
from typing import Any

from warren.system.printable import one_line

#: The priorities of syslog, as sd-daemon(3) has them at the beginning of a line.
_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
#: What the journal says itself, or what stands in a place of its own.
_ELSEWHERE = frozenset(("timestamp", "level", "event", "daemon", "program", "host", "pid", "logger", "message", "exception"))
#: Characters of one value: the log file has the rest.
_LONGEST = 400


def journal_line(line: str) -> str:
    """Return what a line of JSON says, in words: `<6>ready: programs=worker-main, beat`."""
    fields: dict[str, Any] = json.loads(line)
    event, message = str(fields.get("event", "")), str(fields.get("message", ""))
    # What a library or supervisord says is a sentence, and the event only says who said it.
    words = [message] if message else [event + (":" if set(fields) - _ELSEWHERE else "")]
    if fields.get("program") not in (None, fields.get("daemon")) and str(fields["program"]) not in message:
        words.insert(0, f"{fields['program']}:")
    if not message:
        words += [f"{name}={_text(value)}" for name, value in fields.items() if name not in _ELSEWHERE]
    if exception := str(fields.get("exception", "")).strip():
        words.append(f"({exception.splitlines()[-1]}; see {fields.get('daemon')}.log)")
    return f"<{_PRIORITIES.get(str(fields.get('level')), 6)}>{one_line(' '.join(words), 10 * _LONGEST)}"


def _text(value: object) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = ", ".join(value)
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _LONGEST)
