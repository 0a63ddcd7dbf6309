"""The condition of a program: one word that each report on the program shows."""

from __future__ import annotations

from enum import StrEnum


class Condition(StrEnum):
    """What a program does now, as supervisord has judged it; the values are the words for people.

    STATUS of systemd, `warren status` with and without --json, and `warren health` show this word.
    """

    #: Its process was just started, imports the tasks or forks its children.
    STARTING = "starting"
    #: Its process runs and has written no heartbeat; that of an earlier process does not count.
    NO_HEARTBEAT = "no heartbeat yet"
    #: Its broker does not answer.
    CONNECTING = "connecting"
    #: It does its work.
    READY = "ready"
    #: A beat that does not lead; to stand by is its work.
    STANDBY = "standby"
    #: It was told to end, and ends.
    STOPPING = "stopping"
    #: Its main loop shows no life.
    SILENT = "silent"
    #: Its heartbeat cannot be read, so nothing is known of its main loop.
    UNREADABLE = "unreadable heartbeat"
    #: It has ended too soon, and is started again in a few seconds.
    RESTARTING = "restarting"
    #: It has ended so often that it is started rarely.
    BACKING_OFF = "backing off"
    #: It has ended, and is not started again.
    ENDED = "ended"
    #: An operator has stopped it.
    STOPPED = "stopped"
    #: An operator's own program, which has no heartbeat: its process runs.
    RUNNING = "running"
    #: Nothing is known of it: its heartbeat has a state of another version, or there is no report.
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, word: str) -> Condition:
        """Return the condition with this word; UNKNOWN for any other word."""
        try:
            return cls(word)
        except ValueError:
            return cls.UNKNOWN

    @property
    def ready(self) -> bool:
        """Return whether a program in this condition does its work; nothing else decides it."""
        return self in _READY

    @property
    def passing(self) -> bool:
        """Return whether the condition passes by itself: a start, a stop, a broker that is away."""
        return self in _PASSING

    @property
    def predicate(self) -> str:
        """Return the word with its verb, for a sentence whose subject is the program."""
        return _PREDICATES.get(self, f"is {self}")


_READY = {Condition.READY, Condition.STANDBY, Condition.RUNNING}
_PASSING = {
    Condition.STARTING,
    Condition.CONNECTING,
    Condition.STOPPING,
    Condition.NO_HEARTBEAT,
}
_PREDICATES = {
    Condition.NO_HEARTBEAT: "has no heartbeat yet",
    Condition.UNREADABLE: "has an unreadable heartbeat",
    Condition.ENDED: "has ended",
}
