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

    @classmethod
    def of_process(cls, state: str) -> Condition:
        """Return the condition that follows from supervisord's state alone.

        RUNNING says only that there is a process. The heartbeat of a daemon says what it does.
        """
        return _OF_PROCESS.get(state, cls.RUNNING)

    @classmethod
    def of_heartbeat(cls, state: str) -> Condition:
        """Return the condition that the state in a heartbeat names; UNKNOWN for any other state."""
        return cls(state) if state in _OF_HEARTBEAT else cls.UNKNOWN

    @property
    def ready(self) -> bool:
        """Return whether a program in this condition does its work; nothing else decides it."""
        return self in _READY

    @property
    def down(self) -> bool:
        """Return whether the program does not run and is not started again by itself."""
        return self in _DOWN

    @property
    def failed(self) -> bool:
        """Return whether the program has ended by itself, started again or not."""
        return self in _FAILED

    @property
    def passing(self) -> bool:
        """Return whether the condition passes by itself: a start, a stop, a broker that is away."""
        return self in _PASSING

    @property
    def predicate(self) -> str:
        """Return the word with its verb, for a sentence whose subject is the program."""
        return _PREDICATES.get(self, f"is {self}")


_READY = {Condition.READY, Condition.STANDBY, Condition.RUNNING}
_DOWN = {Condition.ENDED, Condition.STOPPED}
_FAILED = {Condition.RESTARTING, Condition.BACKING_OFF, Condition.ENDED}
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
_OF_PROCESS = {
    "STARTING": Condition.STARTING,
    "STOPPING": Condition.STOPPING,
    "BACKOFF": Condition.RESTARTING,
    "STOPPED": Condition.STOPPED,
    "EXITED": Condition.ENDED,
    "FATAL": Condition.ENDED,
    "UNKNOWN": Condition.ENDED,
}
_OF_HEARTBEAT = {
    Condition.STARTING,
    Condition.CONNECTING,
    Condition.READY,
    Condition.STANDBY,
    Condition.STOPPING,
}
