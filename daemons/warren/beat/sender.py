"""The acts of a beat that leads: sending the tasks of due ticks, and remembering each tick."""

from __future__ import annotations

import time
from collections.abc import Mapping

from celery import Celery
from celery.result import denied_join_result
from kombu.exceptions import ChannelError, OperationalError

from warren.beat.last_ticks import KnownTicks
from warren.beat.leader.leader_interface import Leader
from warren.beat.pending_ticks import OnWay, PendingAct, begun_behind, by_entry
from warren.beat.schedule import Schedule
from warren.beat.tick_log import tell_failed, tell_gap, tell_sent
from warren.broker.publish_timeout import NotTaken
from warren.broker.unroutable import NoRoute
from warren.config import Settings
from warren.errors import Unavailable

#: The most seconds that one step sends, and the most seconds between two steps.
STEP = 1.0
#: The most ticks that the broker may have without an answer. If the leader is lost at that moment,
#: so many ticks are sent twice.
BATCH = 100


class Sender:
    """What a beat sends as long as it leads.

    ticks: the last handled tick of each entry, in seconds since the epoch.

    rounds: for each entry how often a clock was ahead (`KnownTicks.rounds`).
    """

    def __init__(
        self,
        settings: Settings,
        app: Celery,
        leader: Leader,
        ticks: dict[str, float],
        rounds: Mapping[str, int] | None = None,
    ) -> None:
        self.app = app
        self.leader = leader
        self.schedule = Schedule(ticks, rounds)
        #: Entries whose last tick could not be sent although the broker was there.
        self._failed: set[str] = set()
        self._on_way: OnWay | None = None
        self.take_up(settings)

    def take_up(self, settings: Settings) -> None:
        """Send by these settings from here on."""
        self._on_way = None  # acts without an answer are due again, under the same ids
        self.schedule.take_up(settings, self.app)

    def begin(self, recalled: KnownTicks) -> None:
        """Continue where the last leader was."""
        if self._on_way is not None and not self._on_way.answers.stands:
            self._on_way = None  # the answers to earlier sends cannot arrive any more
        self.schedule.begin(recalled)

    def step(self) -> None:
        """Send what is due, the oldest ticks first, for STEP seconds at most. Raises Unavailable.

        After the step the daemon writes its heartbeat and renews the leadership. Ticks that are
        left over are due at once.
        """
        end = time.monotonic() + STEP
        if self.schedule.unkept:
            # The next leader must know the entry. Otherwise it would begin the entry with the next
            # tick of its own time, and pass over the ticks before.
            self.leader.keep(self.schedule.known)
            self.schedule.unkept = False
        if self._on_way is not None:
            self._finish(self._on_way)
        acts: list[PendingAct] = []
        for name in self.schedule.due_entries():
            acts += self.schedule.acts(name)
            # The time from here is for sending alone: else many entries would leave no time for it.
            if time.monotonic() >= end - STEP / 2:
                break
        acts.sort(key=lambda act: (act.name in self._failed, act.tick, act.name))
        failed = set[str]()
        for first in range(0, len(acts), BATCH):
            self._send_together(acts[first : first + BATCH], end, failed)
            if time.monotonic() >= end:
                return

    def pause(self) -> float:
        """Return the seconds until the next step, STEP at most."""
        return self.schedule.pause(STEP)

    def _send_together(self, acts: list[PendingAct], end: float, failed: set[str]) -> None:
        """Send these acts, wait once for the answers, and remember the acts. Raises Unavailable.

        end: when to stop sending (seconds of time.monotonic); at least one act is sent.

        failed: entries with a tick that could not be sent in this step. If a later tick of such an
        entry were sent now, the earlier tick would be forgotten.
        """
        on_way = OnWay(self.leader.batch(), [], set(), self.schedule.begun, failed)
        begun = begun_behind(self.schedule.ticks, self.schedule.begun, mine := by_entry(acts))
        if mine:
            # The next leader must know which ticks the broker may have, and a beat that is killed
            # after the sending cannot tell. Ticks that an earlier leader had begun, and that are
            # not among these acts, are kept for the next leader, too.
            self.leader.keep(self.schedule.known_with(begun))
        self.schedule.begun, self._on_way = begun, on_way
        try:
            with on_way.answers:
                for act in acts:
                    if act.name in on_way.failed:
                        continue
                    on_way.acts.append(act)
                    if act.identity:
                        self._send(act, on_way)
                    if time.monotonic() >= end:
                        break
        except Unavailable:
            self._on_way = None
            tell_sent(self._take_in(on_way), self.schedule.entries)
            raise
        self._finish(on_way)

    def _finish(self, on_way: OnWay) -> None:
        """Wait for the answers, then log and remember what was sent.

        Raises Unavailable. When an alarm is the reason, the answers may still come.
        """
        failure: Unavailable | None = None
        try:
            if on_way.answers.stands:
                self.leader.wait(on_way.answers)
            for act in on_way.acts:
                if act.identity in on_way.answers.refused:
                    # When the tick is sent alone, the broker says why it refuses the tick. The
                    # other ticks did not wait for this.
                    self._send(act, on_way, alone=True)
        except Unavailable as error:
            failure = error
        if not isinstance(failure, NotTaken):
            self._on_way = None
        done = self._take_in(on_way)
        try:
            if failure is not None:
                raise failure
            self.leader.keep(self.schedule.known)
        finally:
            tell_sent(done, self.schedule.entries)

    def _take_in(self, on_way: OnWay) -> list[PendingAct]:
        """Note the finished acts; of each entry only those before its first unfinished act.

        Returns the acts that were sent. Whether the broker has the unfinished acts is not known.
        """
        done, left, stopped = [], list[PendingAct](), set[str]()
        for act in on_way.acts:
            if act.name not in stopped and on_way.done(act):
                done.append(act)
                if act.gap is not None:
                    # Logged before the act is noted: after a kill in between, the gap is logged
                    # twice. In the other order it might never be logged.
                    tell_gap(act, act.gap)
                self.schedule.note_handled(act, taken=act.identity in on_way.answers.taken)
                self._failed.discard(act.name)
            else:
                left.append(act)
                stopped.add(act.name)
        on_way.acts = left
        self.schedule.begun = begun_behind(self.schedule.ticks, on_way.before, by_entry(left))
        return [act for act in done if act.identity in on_way.answers.taken]

    def _send(self, act: PendingAct, on_way: OnWay, alone: bool = False) -> None:
        """Send the tick's task, or leave the tick out when its task cannot be sent. Raises
        Unavailable.

        alone: wait for the broker's answer before returning. Without it an error here may be the
        answer to a task that was sent before.
        """
        entry = self.schedule.entries[act.name]
        own = {"queue": entry.queue, "expires": entry.expires}
        options = {**self.leader.options(), **{key: each for key, each in own.items() if each}}
        try:
            # Beat does not read the result. Celery would first subscribe to the result: that is one
            # more subscription for each tick. While the results' Redis is away, each subscription
            # takes 20 tries of a second each, and the tick is not sent.
            with denied_join_result():
                self.app.tasks[entry.task].apply_async(
                    entry.args, entry.kwargs, task_id=act.identity, retry=False, **options
                )
            if alone:
                on_way.answers.taken.add(act.identity)
            else:
                on_way.answers.sent(act.identity)
        except ChannelError as error:
            if alone or isinstance(error, NoRoute):
                # This message reaches no queue; the broker itself works.
                self._leave_out(act, on_way, error)
            else:
                # The broker has closed the channel because of this message or an earlier message.
                # No answer comes any more, so each message is sent alone.
                on_way.answers.refuse_unanswered()
                on_way.answers.refused.add(act.identity)
        # Celery turns any error of the broker's connection into this error.
        except OperationalError as error:
            # The error is of the leader's connection: a message may have been sent in part.
            if alone or on_way.answers.broken:
                # After NotTaken this beat is still the leader, and sends the same id next time.
                if not isinstance(error, NotTaken):
                    self.leader.resign()
                raise Unavailable(f"entry {act.name}: {error or type(error).__name__}") from error
            self._ask(act, error)
            self._put_off(act, on_way, error)
        # The task does not take the arguments, or they are not JSON, or the task's own code fails.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            self._ask(act, error)
            self._leave_out(act, on_way, error)

    def _ask(self, act: PendingAct, error: BaseException) -> None:
        """Ask the broker whether this beat leads.

        Raises Unavailable when the broker is away or another beat leads. So the caller does not
        leave the tick out because of an `error` that is the broker's.
        """
        if not self.leader.lead():
            raise Unavailable(f"entry {act.name}: {error or type(error).__name__}") from error

    def _put_off(self, act: PendingAct, on_way: OnWay, error: Exception) -> None:
        """Note that the tick may or may not have been sent, and try it again after all other ticks.

        The cause may be the task's own code, when it needs another broker that is away.
        """
        if not on_way.failed:  # One line for all ticks of a step: a full disk refuses each tick.
            tell_failed(act, error, "beat tries the tick again")
        on_way.failed.add(act.name)
        self._failed.add(act.name)

    def _leave_out(self, act: PendingAct, on_way: OnWay, error: BaseException) -> None:
        """Leave out a tick that cannot be sent.

        Such a tick must stop neither the other entries nor beat itself.
        """
        on_way.left_out.add(act.identity)
        tell_failed(act, error, "this tick is left out")
