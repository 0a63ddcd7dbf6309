"""All findings as one line, the worst first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from warren.health.broker_findings import surveyed
from warren.health.disk_space import disk
from warren.health.finding import CHECKS, Finding, Level
from warren.health.observation import Evidence
from warren.health.program_findings import programs, supervisord
from warren.system.printable import one_line

#: Bytes of a line: Monit shows no more of what a program prints.
LONGEST = 512
_DAEMONS = ("worker", "beat", "quota-watchdog")


def judge(evidence: Evidence, checks: Iterable[str] = CHECKS) -> list[Finding]:
    """What those checks find, the worst first, and what is behind many of them once."""
    found: dict[str, Finding] = {}
    for check in checks:
        for finding in _check(evidence, check):
            found.setdefault(finding.text, finding)  # a suite that is not running is the finding of nearly all checks
    return sorted(found.values(), key=lambda finding: -finding.level)


def worst(findings: Sequence[Finding]) -> Level:
    """The level of the whole."""
    return max((finding.level for finding in findings), default=Level.OK)


def line(findings: Sequence[Finding]) -> str:
    """`CRITICAL: ...; warning: ...`: only what is wrong, if anything is. At most LONGEST bytes of UTF-8, and always one line."""
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
            return text + more if number else longer.encode()[:room].decode(errors="ignore") + (more if len(parts) > 1 else "")
        text = longer
    return text


def _check(evidence: Evidence, check: str) -> Iterable[Finding]:
    if check == "supervisord":
        return [supervisord(evidence)]
    if check == "disk":
        return disk(evidence)
    return programs(evidence, check) if check in _DAEMONS else surveyed(evidence, check)
