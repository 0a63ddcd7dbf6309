"""The log lines of beat about its ticks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from warren.beat.pending_ticks import PendingAct
from warren.beat.ticks import Gap
from warren.config import ScheduleSettings
from warren.logs.events import Event
from warren.logs.setup import logger


def tell_sent(acts: Iterable[PendingAct], entries: Mapping[str, ScheduleSettings]) -> None:
    """Log that the broker has the tasks of these acts."""
    for act in acts:
        told = {
            "late_s": round(time.time() - act.tick, 3),
            "task_id": act.identity,
            "task": entries[act.name].task,
        }
        logger().info(Event.TICK_SENT, entry=act.name, tick=act.tick, **told)


def tell_gap(act: PendingAct, gap: Gap) -> None:
    """Log which ticks were missed."""
    told = {
        "ticks": gap.ticks,
        "left_out": gap.ticks - gap.made_up,
        "unsure": gap.unsure,
        "after": gap.after,
    }
    late = round(time.time() - gap.newest, 3)
    logger().warning(
        Event.TICK_MISSED, entry=act.name, tick=gap.newest, **told, late_s=late, sent=gap.made_up
    )


def tell_failed(act: PendingAct, error: BaseException, consequence: str) -> None:
    """Log that a tick could not be sent."""
    reason = f"{type(error).__name__}: {error}"
    logger().error(
        Event.TICK_FAILED, entry=act.name, tick=act.tick, reason=reason, consequence=consequence
    )


def tell_clock(name: str, sent: float, now: float, consequence: str) -> None:
    """Log that the last tick of an entry lies in the future."""
    ahead = round(sent - now, 3)
    logger().warning(
        Event.CLOCK_SET_BACK, entry=name, tick=sent, ahead_s=ahead, consequence=consequence
    )
