"""The condition of a program: one word, which each report on the program shows."""

from __future__ import annotations

from enum import StrEnum


class Condition(StrEnum):
    """What a program does now, as supervisord has judged it. The values are the words for people.

    STATUS of systemd, `warren status` with and without --json, and `warren health` show the word.
    """

    #: The process was just started: it imports the tasks or forks its children.
    STARTING = "starting"
    #: The process has written no heartbeat yet; the heartbeat of an earlier process does not count.
    NO_HEARTBEAT = "no heartbeat yet"
    #: The program waits for its broker, which does not answer.
    CONNECTING = "connecting"
    #: The program does its work.
    READY = "ready"
    #: A beat that does not lead: it waits, and that is its work.
    STANDBY = "standby"
    #: The program was told to end, and is ending.
    STOPPING = "stopping"
    #: The main loop of the program shows no life.
    SILENT = "silent"
    #: The heartbeat cannot be read, so nothing is known of the main loop.
    UNREADABLE = "unreadable heartbeat"
    #: The program has ended too soon, and is started again in a few seconds.
    RESTARTING = "restarting"
    #: The program has ended so often that it is only rarely started.
    BACKING_OFF = "backing off"
    #: The program has ended, and is not started again.
    ENDED = "ended"
    #: An operator has stopped the program.
    STOPPED = "stopped"
    #: An operator's own program, which writes no heartbeat: its process runs.
    RUNNING = "running"
    #: Nothing is known of the program: its heartbeat has a state of another version, or there is no
    #: report.
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

        RUNNING only says that there is a process. What the process does is in its heartbeat.
        """
        return _OF_PROCESS.get(state, cls.RUNNING)

    @classmethod
    def of_heartbeat(cls, state: str) -> Condition:
        """Return the condition that the state in a heartbeat names; UNKNOWN for any other state."""
        return cls(state) if state in _OF_HEARTBEAT else cls.UNKNOWN

    @property
    def ready(self) -> bool:
        """Return whether a program in this condition does its work.

        Nothing else decides whether a program is ready.
        """
        return self in _READY

    @property
    def down(self) -> bool:
        """Return whether the program does not run, and is not started again by itself."""
        return self in _DOWN

    @property
    def failed(self) -> bool:
        """Return whether the program has ended by itself, whether or not it is started again."""
        return self in _FAILED

    @property
    def passing(self) -> bool:
        """Return whether the condition passes by itself, as a start, a stop and an absent broker
        do.
        """
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
