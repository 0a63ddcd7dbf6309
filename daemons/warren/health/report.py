"""The report of `warren health`: all findings in one line, the worst first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from warren.health.broker_findings import broker
from warren.health.disk_space import disk
from warren.health.finding import CHECKS, Finding, Level
from warren.health.observation import Snapshot
from warren.health.program_findings import listed, programs, supervisord
from warren.system.printable import one_line

#: The most bytes of a line: Monit shows no more of a program's output.
LONGEST = 512
_DAEMONS = ("worker", "beat", "quota-watchdog", "web")
#: Daemons that are off by default: where one is off, only its own check says so.
_OPTIONAL = ("web",)


def judge(snapshot: Snapshot, checks: Iterable[str] = CHECKS) -> list[Finding]:
    """Return the findings of those checks, the worst first.

    Findings with the same text are returned once.
    """
    found: dict[str, Finding] = {}
    asked = tuple(checks)
    for check in asked:
        if check in _OPTIONAL and len(asked) > 1 and not listed(snapshot, check):
            continue
        for finding in _check(snapshot, check):
            # When the suite is not running, nearly all checks find the same text.
            found.setdefault(finding.text, finding)
    return sorted(found.values(), key=lambda finding: -finding.level)


def worst(findings: Sequence[Finding]) -> Level:
    """Return the worst level of the findings; OK when there are none."""
    return max((finding.level for finding in findings), default=Level.OK)


def line(findings: Sequence[Finding]) -> str:
    """Return one line such as `CRITICAL: ...; warning: ...`, of at most LONGEST bytes of UTF-8.

    When something is wrong, the line holds nothing else.
    """
    level = worst(findings)
    told = [finding for finding in findings if finding.level or not level]
    texts = [f"warning: {each.text}" if each.level < level else each.text for each in told]
    return _cut(f"{level.name}: ", [one_line(text) for text in texts])


def _cut(text: str, parts: list[str]) -> str:
    for number, part in enumerate(parts):
        longer = f"{text}; {part}" if number else text + part
        more = f"; and {len(parts) - number} more"
        room = LONGEST - (len(f"; and {len(parts)} more") if number + 1 < len(parts) else 0)
        if len(longer.encode()) > room:
            return (
                text + more
                if number
                else longer.encode()[:room].decode(errors="ignore")
                + (more if len(parts) > 1 else "")
            )
        text = longer
    return text


def _check(snapshot: Snapshot, check: str) -> Iterable[Finding]:
    if check == "supervisord":
        return [supervisord(snapshot)]
    if check == "disk":
        return disk(snapshot)
    return programs(snapshot, check) if check in _DAEMONS else broker(snapshot, check)
