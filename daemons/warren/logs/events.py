"""All events that Warren logs. Each has a stable name for programs and one line for people."""

from __future__ import annotations

from enum import StrEnum, auto


def means(meaning: str) -> tuple[auto, str]:
    """Return the value of an event: its member's name in lower case, and its meaning."""
    return auto(), meaning


class Event(StrEnum):
    """The values of a log line's field `event`.

    docs/events.md documents them; a test compares that page with this list. In the journal and on a
    terminal the text of an event is the part of its meaning before "; `".
    """

    meaning: str

    def __new__(cls, name: str, meaning: str) -> Event:
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning = meaning
        return member

    # daemons
    STARTED = means("a daemon has read its settings and begins")
    READY = means("a daemon does its work: a worker consumes, beat ticks, the watchdog watches")
    NOT_READY = means("supervise: `programs` are not ready although start_timeout is over")
    STOPPING = means("a daemon was asked to stop; `reason` says by what")
    STOPPED = means("a daemon has ended cleanly")
    REFUSED = means("a daemon could not start; `reason` says why and what to do")
    CRASHED = means("a daemon ends on an unexpected error; `exception` has the traceback")
    SUPERVISOR_LOST = means("the supervisor is gone: the daemon requeues its work and ends")
    RELOADED = means("SIGHUP: new settings are in force")
    RELOAD_REFUSED = means("SIGHUP: the new settings are wrong and nothing was changed")
    STATE_DUMPED = means("SIGUSR1: the daemon logs what it is doing, with its stacks")
    CANNOT_WRITE = means("a file of Warren could not be written (permission, full disk)")
    FILE_MOVED_AWAY = means("the file at `path` cannot be used: it was renamed (`kept_as`)")
    RECORD = means("a line of a library; `logger` names the library, `message` is its text")
    SUPERVISOR_RECORD = means("a line of supervisord: a program started, ended or was restarted")

    # supervision
    PROGRAM_HUNG = means(
        "a daemon's heartbeat stopped for `silent_s` (`reason`): the daemon's stacks go to "
        "its capture file, and the daemon is started again"
    )
    PROGRAM_BACKING_OFF = means(
        "a daemon ended `failures` times too soon: it is started only every `retry_every_s`"
    )
    PROGRAM_RECOVERED = means("a daemon that was backing off does its work again")
    PROGRAM_TOO_BIG = means("a daemon has grown beyond its max_memory: it is restarted gracefully")
    WORKER_STUCK = means(
        "a worker had room but took no messages, although its queues held some: the worker is"
        " restarted gracefully"
    )
    WORKER_BLOCKED = means(
        "every child of a worker has run one task for `busy_s` while messages wait; `tasks` are "
        "the ids of the oldest"
    )
    PROGRAM_REMOVED = means(
        "supervisord had a program that differs from the settings: the program was killed and"
        " removed"
    )
    PROGRAM_RESTORED = means(
        "a program was stopped or removed over supervisord's socket (`found`): the program "
        "was started again"
    )
    WORKERS_RESTARTED = means(
        "a rolling restart is over; `programs` work again, `problems` say why the other "
        "programs do not"
    )
    SUPERVISION_FAILED = means(
        "an unexpected error cost supervise one `step` of its loop, and the loop continues; "
        "`exception` has the traceback"
    )
    RUN_DIRECTORY_RESTORED = means(
        "a file of the run directory (`path`) was removed or damaged: it was made again"
    )
    RUN_DIRECTORY_LOST = means(
        "files of the run directory cannot be made again, or another suite uses the "
        "directory: stop one of the two suites"
    )
    NOTIFY_FAILED = means("the state of the suite could not be reported to systemd")

    # broker
    BROKER_CONNECTED = means("a daemon has reached the broker")
    BROKER_UNREACHABLE = means("the broker does not answer; the daemon keeps trying")
    RESULTS_NOT_STORED = means(
        "results cannot be stored now (`reason`): finished tasks keep their results until "
        "these can be stored"
    )
    RESULTS_STORED = means("results can be stored again")
    PROGRESS_NOT_STORED = means(
        "the progress of a task cannot be stored now (`reason`); the task continues"
    )
    RUN_REPEATED = means("`once`: the work of `key` was done before, by `first_task_id`")
    RUN_NOT_RECORDED = means(
        "`once`: the work of `key` is done, and that cannot be noted (`reason`); it may run again"
    )
    LOCK_NOT_RELEASED = means(
        "a lock (`key`) cannot be released (`reason`); it ends by itself within 10 s"
    )
    BROKER_LOST = means("the connection to the broker broke")
    BROKER_ALARM = means("the broker takes no messages; `alarm` says why, in the broker's words")
    BROKER_ALARM_CLEARED = means("the broker takes messages again")
    BACKLOG_GROWS = means(
        "a queue has reached a level of [health], or will reach one within an hour"
    )
    BACKLOG_SHRINKS = means("a queue is below the levels of [health] again")
    MESSAGES_RESTORED = means(
        "embedded broker, Redis: messages of a dead process or a broken connection went back to "
        "their queue"
    )
    MESSAGE_REJECTED = means("a message that cannot be run was rejected; `reason` says why")
    KEY_REJECTED = means(
        "Redis: a key of queues or bindings (`key`), or an entry of the key, was not valid: "
        "the key or entry was moved to `moved_to`"
    )
    HOST_NAME_TAKEN = means("another suite on this broker has this host's name")
    QUEUE_UNCONSUMED = means(
        "a queue has held messages for `since_s`, and no worker of the fleet takes from it"
    )
    QUEUE_ABANDONED = means("a queue that no section declares any more still holds `messages`")
    CANNOT_KEEP = means(
        "a rejected message could not be kept as intended; `consequence` says what was done"
    )
    CANNOT_POSTPONE = means(
        "RabbitMQ grants no queue for tasks that are due later: the worker's memory holds "
        "these tasks, without a limit"
    )
    REJECTED_DROPPED = means(
        "the oldest rejected messages were dropped: at most 10,000, or 1 GiB, are kept"
    )
    KEPT_HERE = means(
        "RabbitMQ takes no copy of a message that this host cannot run: the file `path` keeps"
        " the message"
    )

    # tasks
    TASK_UNKNOWN = means(
        "no module of this worker has the task: the task was requeued, because another worker"
        " may have it"
    )
    TASK_POSTPONED = means(
        "a task is due in `due_in_s`: the task was sent back to the broker, and comes again "
        "when it is due"
    )
    TASK_STARTED = means(
        "a child begins a task; `pid` is the child's, `waited_s` says how long the task waited"
    )
    TASK_SUCCEEDED = means("a task returned; `waited_s`, `ran_s`")
    TASK_FAILED = means(
        "a task will not be tried again: it raised, rejected its message, exceeded its limit or "
        "was given up (`reason`)"
    )
    TASK_IGNORED = means(
        "a task raised Ignore, or another task replaced it under the same id (`reason`): no "
        "result is recorded"
    )
    TASK_RETRIED = means(
        "a task raised and will be tried again, in `again_in_s` or at `again_at`; `reason` says why"
    )
    POOL_GARBLED = means(
        "a pool child (`process`) sent a message that the pool does not know: the child was "
        "ended, and its task counts as lost"
    )
    POOL_STUCK = means(
        "an idle pool child (`process`) did not begin its task, or its report of the task's "
        "end was lost: the child was ended after 20 s"
    )
    LEFTOVERS_ENDED = means(
        "processes that tasks had started were killed, because the child that ran the task has "
        "ended; `processes` has the number and the name of each"
    )
    TASK_REVOKED = means(
        "a task will not run, or was ended: `reason` says expired, revoked or terminated"
    )
    RESULT_UNREADABLE = means(
        "what arrived as the result of a task is not a result; `reason` says why"
    )
    CALLBACKS_FAILED = means(
        "after the end of a task an error callback or a chain raised an error or was not valid, or "
        "a signal receiver exited or hung"
    )
    QUEUE_CANCELLED = means(
        "remote control: the worker takes nothing more from a queue until `add_consumer` or an "
        "operator's restart"
    )
    QUEUE_RESUMED = means(
        "the worker takes from a cancelled queue again; `reason` says why, if no "
        "`add_consumer` has asked for that"
    )
    TASK_REQUEUED = means("an unfinished task went back to the broker; `reason` says why")
    TASK_RENEWED = means(
        "RabbitMQ has returned a message `returns` times and would drop it in the end: a copy "
        "with a new count replaces it"
    )
    REQUEUE_REFUSED = means(
        "RabbitMQ takes no message back: `queue` is missing or takes no more messages; the "
        "worker keeps the message and tries again within 5 s"
    )

    # web
    WEB_SENT = means("a client (`client`) has sent a task by HTTP")
    WEB_FAILED = means(
        "a request could not be served (`reason`): the broker, the results or a file did not answer"
    )
    WEB_REFUSED = means("`requests` came by HTTP without a valid token")

    # quotas
    QUOTA_EXHAUSTED = means("a queue is paused until its quota has a free slot")
    QUOTA_LEVEL = means(
        "the use of a quota crossed a level (`percent`; 0: the use is below all levels again)"
    )
    QUOTA_CHANGED = means(
        "a quota has a new limit or window; `next_call_s` says for how long no call is admitted, "
        "if any"
    )
    QUOTA_CLOSED = means(
        "the provider asked for a pause (Retry-After): for `pause_s` no call is admitted"
    )
    SLOTS_REAPED = means("slots of dead processes were set to cool")
    SETTINGS_OLDER = means(
        "a daemon's settings are older than those of a quota's ledger: the ledger keeps its own"
    )
    LEDGER_DAMAGED = means(
        "a ledger was damaged: it was moved away, and every slot cools for a full window"
    )
    LEDGER_BUSY = means("a ledger's lock was held too long: nothing was admitted")
    JOB_FAILED = means(
        "a job of the quota-watchdog failed (`job`, `reason`): the job is tried again; the "
        "other jobs continue"
    )

    # schedule
    LEADER_TAKEN = means("this beat leads: of all beats of the fleet only this one sends")
    LEADER_LOST = means("this beat no longer leads and stands by")
    TICK_SENT = means("beat sent the task of a schedule entry")
    TICK_REPEATED = means(
        "the message of a tick came twice: its task had ended on this host and was not run again"
    )
    TICK_MISSED = means(
        "ticks of an entry came due while no beat led (`ticks` of them, after `after` "
        "and up to `tick`); `left_out` of these ticks are not sent now, but a lost leader may have "
        "sent `unsure` of them"
    )
    CLOCK_SET_BACK = means(
        "the last tick of an entry lies ahead: the clock of this host or of the last leader was "
        "wrong; `consequence` says whether the entry waits or begins again"
    )
    TICK_FAILED = means("beat could not send a task and tries again")
