"""All events that Warren logs: a stable name for programs and one line for people each."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """The values of a log line's field `event`.

    docs/events.md documents them; a test compares that page with this list.
    """

    meaning: str

    def __new__(cls, name: str, meaning: str) -> Event:
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning = meaning
        return member

    # daemons
    STARTED = "started", "a daemon has read its settings and begins"
    READY = "ready", "a daemon does its work: a worker consumes, beat ticks, the watchdog watches"
    NOT_READY = "not_ready", "supervise: `programs` are not ready although start_timeout has passed"
    STOPPING = "stopping", "a daemon was asked to stop; `reason` says by what"
    STOPPED = "stopped", "a daemon has ended in order"
    REFUSED = "refused", "a daemon could not start; `reason` says why and what to do"
    CRASHED = (
        "crashed",
        "a daemon ends on an error that nobody foresaw; `exception` has the traceback",
    )
    SUPERVISOR_LOST = (
        "supervisor_lost",
        "the supervisor has vanished: the daemon hands back its work and ends",
    )
    RELOADED = "reloaded", "SIGHUP: new settings are in force"
    RELOAD_REFUSED = "reload_refused", "SIGHUP: the new settings are wrong and nothing was changed"
    STATE_DUMPED = "state_dumped", "SIGUSR1: what the daemon is doing, with its stacks"
    CANNOT_WRITE = "cannot_write", "a file of Warren could not be written (permission, full disk)"
    FILE_MOVED_AWAY = (
        "file_moved_away",
        (
            "what stood at `path`, where a file of the suite belongs, cannot be used: it was "
            "renamed (`kept_as`)"
        ),
    )
    RECORD = "record", "a line of a library: `logger` says of which, `message` what"
    SUPERVISOR_RECORD = (
        "supervisor_record",
        "a line of supervisord: a program started, ended, was restarted",
    )

    # supervision
    PROGRAM_HUNG = (
        "program_hung",
        (
            "a heartbeat stood still for `silent_s` (`reason`): the daemon's stacks go to its "
            "capture file, and it is started again"
        ),
    )
    PROGRAM_BACKING_OFF = (
        "program_backing_off",
        "a daemon ended `failures` times too soon: it is tried again every `retry_every_s`",
    )
    PROGRAM_RECOVERED = "program_recovered", "a daemon that was backing off does its work again"
    PROGRAM_TOO_BIG = (
        "program_too_big",
        "a daemon has grown beyond its max_memory and is started again, in order",
    )
    WORKER_STUCK = (
        "worker_stuck",
        (
            "a worker took nothing although there were messages and it had room: it is started "
            "again, in order"
        ),
    )
    WORKER_BLOCKED = (
        "worker_blocked",
        (
            "every process of a worker has run one task for `busy_s` while messages wait; `tasks` "
            "are the ids of the oldest"
        ),
    )
    PROGRAM_REMOVED = (
        "program_removed",
        (
            "supervisord had a program that the settings do not have, or have otherwise: it was "
            "killed and removed"
        ),
    )
    PROGRAM_RESTORED = (
        "program_restored",
        (
            "somebody stopped or removed a program over supervisord's socket (`found`): it was "
            "started again"
        ),
    )
    WORKERS_RESTARTED = (
        "workers_restarted",
        (
            "a rolling restart is over: `programs` are back at work, and `problems` say what kept "
            "the rest"
        ),
    )
    SUPERVISION_FAILED = (
        "supervision_failed",
        (
            "an error that nobody foresaw cost supervise one `step` of its loop, which continues; "
            "`exception` has the traceback"
        ),
    )
    RUN_DIRECTORY_RESTORED = (
        "run_directory_restored",
        "somebody removed or spoilt a file of the run directory (`path`): it was made again",
    )
    RUN_DIRECTORY_LOST = (
        "run_directory_lost",
        "the same, but they cannot be made again, or another suite has come in: stop one of them",
    )
    NOTIFY_FAILED = "notify_failed", "systemd could not be told how the suite is"

    # broker
    BROKER_CONNECTED = "broker_connected", "a daemon has reached the broker"
    BROKER_UNREACHABLE = "broker_unreachable", "the broker does not answer; the daemon keeps trying"
    RESULTS_NOT_STORED = (
        "results_not_stored",
        (
            "results cannot be stored now (`reason`): tasks that have run wait with theirs, and it "
            "is tried again"
        ),
    )
    RESULTS_STORED = "results_stored", "results can be stored again"
    BROKER_LOST = "broker_lost", "the connection to the broker broke"
    BROKER_ALARM = (
        "broker_alarm",
        "the broker takes no messages; `alarm` says why, in its own words",
    )
    BROKER_ALARM_CLEARED = "broker_alarm_cleared", "the broker takes messages again"
    BACKLOG_GROWS = "backlog_grows", "a queue reached a level of [health], or will within an hour"
    BACKLOG_SHRINKS = "backlog_shrinks", "a queue is below the levels of [health] again"
    MESSAGES_RESTORED = (
        "messages_restored",
        (
            "embedded broker, Redis: messages of a dead process or a broken connection went back "
            "to their queue"
        ),
    )
    MESSAGE_REJECTED = (
        "message_rejected",
        "a message that cannot be run was rejected; `reason` says why",
    )

    KEY_REJECTED = (
        "key_rejected",
        (
            "Redis: a key of queues or bindings (`key`), or an entry of one, was something else: "
            "it was moved to `moved_to`"
        ),
    )
    HOST_NAME_TAKEN = "host_name_taken", "another suite on this broker bears this host's name"
    QUEUE_UNCONSUMED = (
        "queue_unconsumed",
        "a queue has held messages for `since_s`, and no worker of the fleet takes from it",
    )
    QUEUE_ABANDONED = (
        "queue_abandoned",
        "a queue that no section declares any more still holds `messages`",
    )
    CANNOT_KEEP = (
        "cannot_keep",
        "a rejected message could not be kept as it should; `consequence` says what was done",
    )
    CANNOT_POSTPONE = (
        "cannot_postpone",
        (
            "RabbitMQ grants no queue in which tasks that are due later could wait: the worker's "
            "memory holds them, without a bound"
        ),
    )
    REJECTED_DROPPED = (
        "rejected_dropped",
        (
            "the oldest rejected messages were dropped: more than 10,000, or 1 GiB of them, are "
            "not kept"
        ),
    )
    KEPT_HERE = (
        "kept_here",
        (
            "RabbitMQ takes no copy of a message that this host cannot run: it is kept in the file "
            "`path`"
        ),
    )

    # tasks
    TASK_UNKNOWN = (
        "task_unknown",
        (
            "no module of this worker has the task: it goes back to its queue, for another worker "
            "may have it"
        ),
    )
    TASK_POSTPONED = (
        "task_postponed",
        "a task that is due in `due_in_s` goes back to the broker and comes again then",
    )
    TASK_STARTED = (
        "task_started",
        (
            "a process begins with a task; `pid` is that process, `waited_s` says how long the "
            "task waited"
        ),
    )
    TASK_SUCCEEDED = "task_succeeded", "a task returned; `waited_s`, `ran_s`"
    TASK_FAILED = (
        "task_failed",
        (
            "a task will not be tried again: it raised, rejected its message, ran into its limit "
            "or was given up (`reason`)"
        ),
    )
    TASK_IGNORED = (
        "task_ignored",
        (
            "a task raised Ignore, or another one takes its place under the same id (`reason`): no "
            "result is recorded for it"
        ),
    )
    TASK_RETRIED = (
        "task_retried",
        (
            "a task raised and will be tried again, in `again_in_s` or at `again_at`; `reason` "
            "says why"
        ),
    )
    POOL_GARBLED = (
        "pool_garbled",
        (
            "something else than the pool's messages came from a pool child (`process`): it was "
            "ended, and its task counts as lost"
        ),
    )
    POOL_STUCK = (
        "pool_stuck",
        (
            "an idle pool child (`process`) did not begin with its task, or the word of its end "
            "was lost: it was ended after 20 s"
        ),
    )
    LEFTOVERS_ENDED = (
        "leftovers_ended",
        (
            "`processes` (number and name) that tasks had started were killed: the process that "
            "ran the task has ended"
        ),
    )
    TASK_REVOKED = (
        "task_revoked",
        "a task will not run, or was ended: `reason` says expired, revoked or terminated",
    )
    RESULT_UNREADABLE = (
        "result_unreadable",
        "what arrived as the result of a task is none; `reason` says why",
    )
    CALLBACKS_FAILED = (
        "callbacks_failed",
        (
            "what follows a task's end (an error callback, a chain) raised, or was none; or a "
            "receiver of a signal left or hung"
        ),
    )
    QUEUE_CANCELLED = (
        "queue_cancelled",
        (
            "remote control: the worker takes nothing more from a queue, until `add_consumer` or "
            "an operator's restart"
        ),
    )
    QUEUE_RESUMED = (
        "queue_resumed",
        (
            "the worker takes from a queue again that remote control had cancelled; `reason`, if "
            "no `add_consumer` was"
        ),
    )
    TASK_REQUEUED = "task_requeued", "an unfinished task went back to the broker; `reason` says why"
    TASK_RENEWED = (
        "task_renewed",
        (
            "RabbitMQ has given a task back `returns` times, and drops it in the end: a copy that "
            "it counts again takes its place"
        ),
    )
    REQUEUE_REFUSED = (
        "requeue_refused",
        (
            "RabbitMQ takes no message back: `queue` is not there, or takes no more; the worker "
            "keeps it and asks again within 5 s"
        ),
    )

    # quotas
    QUOTA_EXHAUSTED = "quota_exhausted", "a queue is paused until its quota has a free slot"
    QUOTA_LEVEL = (
        "quota_level",
        "the use of a quota crossed a level (`percent`; 0: it is below all of them again)",
    )
    QUOTA_CHANGED = (
        "quota_changed",
        (
            "a quota has a new limit or window; `next_call_s` says how long no call is admitted, "
            "if any is not"
        ),
    )
    QUOTA_CLOSED = (
        "quota_closed",
        "the provider asked for a pause (Retry-After): for `pause_s` no call is admitted",
    )
    SLOTS_REAPED = "slots_reaped", "slots of dead processes were set to cool"
    SETTINGS_OLDER = (
        "settings_older",
        "a daemon has settings from before those of a quota's ledger, and did not change it",
    )
    LEDGER_DAMAGED = (
        "ledger_damaged",
        "a ledger was damaged: set aside, and every slot cools for a full window",
    )
    LEDGER_BUSY = "ledger_busy", "a ledger's lock was held too long: nothing was admitted"

    # schedule
    LEADER_TAKEN = (
        "leader_taken",
        "this beat leads: of all beats of the fleet it is the one that sends",
    )
    LEADER_LOST = "leader_lost", "this beat does not lead any more and stands by"
    TICK_SENT = "tick_sent", "beat sent the task of a schedule entry"
    TICK_REPEATED = (
        "tick_repeated",
        "the message of a tick came twice: its task had ended on this host and was not run again",
    )
    TICK_MISSED = (
        "tick_missed",
        "ticks of an entry came due while no beat led (`ticks`, those behind `after` up to "
        "`tick`); "
        "`left_out` of them are not sent, but for `unsure` that a lost leader may have sent",
    )
    CLOCK_SET_BACK = (
        "clock_set_back",
        "the last tick of an entry lies ahead: this host's clock, or the last leader's, was wrong; "
        "`consequence` says whether the entry waits for it or begins again",
    )
    TICK_FAILED = "tick_failed", "beat could not send a task and tries again"
