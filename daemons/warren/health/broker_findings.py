"""The checks of broker, queues and quotas. They judge the quota-watchdog's broker status. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from warren.health.finding import Finding, Level, span
from warren.health.observation import Snapshot
from warren.health.program_findings import listed, not_running
from warren.status.broker_report import (
    OLD,
    BrokerReport,
    QueueStatus,
    QuotaError,
    QuotaStatus,
)

_WATCHDOG = "quota-watchdog"


def broker(snapshot: Snapshot, check: str) -> Iterator[Finding]:
    """Yield a finding for each problem of one check; without a problem, one finding for the whole
    check.

    check: broker, queues or quotas.
    """
    broker_status = snapshot.broker_status
    if reason := not_running(snapshot.programs):
        yield Finding(check, Level.CRITICAL, reason)
    elif not listed(snapshot, _WATCHDOG):
        yield Finding(
            check, Level.OK, f"{check} not watched: {_WATCHDOG} is not enabled on this host"
        )
    elif broker_status.report is None:
        yield _without(snapshot, check, broker_status.last_error)
    elif broker_status.known is None:
        yield _without(snapshot, check, f"the last broker status is {_age(broker_status.age)}")
    else:
        found = [Finding(check, level, text) for level, text in _JUDGES[check](broker_status.known)]
        bad = [finding for finding in found if finding.level]
        yield from bad or [
            Finding(check, Level.OK, ", ".join(finding.text for finding in found) or f"no {check}")
        ]


def _age(age: float) -> str:
    return f"{span(age)} old" if age >= 0.0 else "from before the boot of this host"


def _without(snapshot: Snapshot, check: str, reason: str) -> Finding:
    """Return the finding for an unknown broker status.

    The finding is only a warning when the watchdog has just started and has published no status
    yet.
    """
    watchdog = listed(snapshot, _WATCHDOG)[0]
    young = snapshot.now - watchdog.since < OLD
    return Finding(check, Level.WARNING if young else Level.CRITICAL, f"{check} unknown: {reason}")


def _broker(report: BrokerReport) -> Iterator[tuple[Level, str]]:
    broker = report.broker
    if not report.results.reachable:
        yield Level.CRITICAL, f"results away: {report.results.reason}"
    if not broker.reachable:
        # The reason comes first, because Monit's page cuts off a line after 40 characters.
        yield (
            Level.CRITICAL,
            f"broker away: {broker.reason.removeprefix('the broker does not answer: ')}",
        )
        return
    for alarm in broker.alarms:
        yield Level.CRITICAL, f"broker alarm: {alarm}"
    if broker.same_name:
        yield Level.WARNING, "another suite on this broker has this host's name"
    yield Level.OK, f"broker {broker.kind} answers"


def _queues(report: BrokerReport) -> Iterator[tuple[Level, str]]:
    """Yield a level and a text for each queue. The fullest queue is first, because the line may be
    cut.
    """
    if not report.broker.reachable:
        # The check `broker` is critical in this case. Here a warning is enough, and OK would be
        # wrong.
        yield Level.WARNING, "queues unknown: the broker is away"
        return
    queues = report.queues
    for name in sorted(queues, key=lambda name: (-(queues[name].messages or 0), name)):
        alone = ", and no worker takes from it" if queues[name].unconsumed else ""
        yield Level(queues[name].level), f"{name} {_backlog(queues[name])}{alone}"
    for name, messages in report.removed_queues.items():
        yield Level.WARNING, f"{name}, which no section declares any more, {_count(messages)}"
    if (rejected := report.rejected).messages:
        full = ", and the oldest are dropped" if rejected.full else ""
        yield (
            Level(rejected.level),
            f"{_count(rejected.messages, 'rejected message')}, which nobody could run{full}",
        )


def _backlog(queue: QueueStatus) -> str:
    """Return a queue's depth and its tendency: 12 messages, empty in 3 min."""
    if queue.messages is None:
        return "unknown"
    text = _count(queue.messages)
    goes = tendency(queue)
    return f"{text}, {goes}" if goes else text


def _count(number: int, word: str = "message") -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def tendency(queue: QueueStatus) -> str:
    """Return the tendency of a queue's depth, such as `empty in 3 min` or `+20/s`.

    Returns an empty text when the depth does not change.
    """
    growth, empty_in = queue.growth_per_s, queue.empty_in_s
    recent = growth if queue.recent_per_s is None else queue.recent_per_s
    by_quota = queue.quota_empty_in_s or 0.0
    if not queue.messages:
        empty_in, by_quota = None, 0.0
    # After a burst, the trend over the longer time still rises although the queue already drains.
    rate = growth if (growth > 0) == (recent > 0) else recent
    grows = f"{rate:+.2g}/s" if rate >= 0.01 else ""
    if by_quota > (empty_in or 0.0):  # messages cannot leave the queue faster than the quota admits
        return (
            f"{grows}, {span(by_quota)} at its quota"
            if grows
            else f"empty in {span(by_quota)} at its quota"
        )
    return grows if empty_in is None else f"empty in {span(empty_in)}"


def _quotas(report: BrokerReport) -> Iterator[tuple[Level, str]]:
    for name, quota in report.quotas.items():
        if isinstance(quota, QuotaError):
            yield Level.CRITICAL, f"quota {name}: {quota.error}"
        else:
            yield (
                Level(quota.level),
                f"quota {name} {quota.free} of {quota.limit} left{_next(quota)}",
            )


def _next(quota: QuotaStatus) -> str:
    """Return when the next call may be made, if no call may be made now.

    A full quota is no error: quotas work in this way.
    """
    wait = quota.next_free_s
    if quota.free or quota.limit == 0:
        return ""
    return ", the next when a call ends" if wait is None else f", the next in {span(wait)}"


_JUDGES = {"broker": _broker, "queues": _queues, "quotas": _quotas}
