"""The environment variables of a project: lines NAME=value of an INI file or of a file of secrets.

Pure. No message quotes a value, because a value may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from warren.config.units import Unexpected

_FORM = "lines NAME=value"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LONGEST_NAME = 80  # characters of a name that a message quotes
_INTERPRETER = "a name that the daemons' own interpreter, libraries and commands do not read"
_OPTION = "a variable that no option of Warren replaces"
#: Refused names, and refused beginnings of names (these end with an underscore, or are PYTHON),
#: with what an error says it expected instead. Names of the first group are read before the daemon
#: could set them, or would let the project change what Warren itself runs. Names of the last group
#: are read by Celery before any setting.
_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("PATH", "LD_", "PYTHON", "WARREN_", "SUPERVISOR_"), _INTERPRETER),
    **dict.fromkeys(("NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "CELERY_LOADER"), _INTERPRETER),
    **dict.fromkeys(
        (
            "CELERY_BROKER_URL",
            "CELERY_BROKER_READ_URL",
            "CELERY_BROKER_WRITE_URL",
            "CELERY_RESULT_BACKEND",
        ),
        _OPTION,
    ),
}


def variables(text: str) -> dict[str, str]:
    """Return the variables of such a text.

    Empty lines and lines that begin with # are skipped. Quotes around a whole value are removed, as
    systemd and shells do. Raises Unexpected.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.strip().splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        if not equals:
            raise Unexpected(_FORM, f"no = in line {number} of them")
        if not _NAME.fullmatch(name):
            expected = f"{_FORM}, with names of letters, digits and '_'"
            raise Unexpected(expected, f"another name in line {number} of them")
        if refused := next(filter(None, (_refusal(name, each) for each in _REFUSED)), None):
            raise Unexpected(refused, _shown(name))
        if name in found:
            raise Unexpected("each name once", f"{_shown(name)} again")
        found[name] = _unquoted(value.strip())
        if "\0" in value:
            raise Unexpected("text", f"a NUL character in the value of {_shown(name)}")
    return found


def _refusal(name: str, refused: str) -> str | None:
    begins = refused.endswith("_") or refused == "PYTHON"
    return _REFUSED[refused] if name == refused or (begins and name.startswith(refused)) else None


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def _shown(name: str) -> str:
    return repr(name[:_LONGEST_NAME])
