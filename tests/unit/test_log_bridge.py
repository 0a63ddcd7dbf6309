"""What can be told from the words of supervisord."""

from __future__ import annotations

import logging

import pytest
from supervisor.loggers import LevelsByName

from warren.errors import ExitCode
from warren.supervise.log_bridge import RecordLogger, about, is_noise, worded


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("spawned: 'worker-a' with pid 12", {"program": "worker-a", "child_pid": 12}),
        (
            (
                "success: beat entered RUNNING state, process has stayed up for > than 2 seconds "
                "(startsecs)"
            ),
            {"program": "beat", "state": "RUNNING"},
        ),
        (
            "exited: worker-a (exit status 78; expected)",
            {
                "program": "worker-a",
                "exit_status": 78,
                "expected": True,
                "meaning": ExitCode.CONFIG.meaning,
            },
        ),
        (
            worded("exited: worker-a (exit status 75; not expected)"),
            {
                "program": "worker-a",
                "exit_status": 75,
                "expected": True,
                "meaning": ExitCode.RESTART.meaning,
            },
        ),
        (
            "exited: own (exit status 9; not expected)",
            {"program": "own", "exit_status": 9, "expected": False},
        ),
        (
            "exited: worker-a (terminated by SIGKILL; not expected)",
            {"program": "worker-a", "signal": "SIGKILL", "expected": False},
        ),
        (
            "stopped: beat (terminated by SIGSEGV (core dumped))",
            {"program": "beat", "signal": "SIGSEGV"},
        ),
        ("stopped: beat (terminated by signal 40)", {"program": "beat", "signal": "signal 40"}),
        (
            "stopped: beat (exit status 0)",
            {"program": "beat", "exit_status": 0, "meaning": ExitCode.OK.meaning},
        ),
        (
            "gave up: beat entered FATAL state, too many start retries too quickly",
            {"program": "beat", "state": "FATAL"},
        ),
        (
            "killing 'worker-a' (12) with SIGKILL",
            {"program": "worker-a", "child_pid": 12, "signal": "SIGKILL"},
        ),
        ("waiting for worker-a to stop", {"program": "worker-a"}),
        ("waiting for beat, worker-a to die", {}),
        ("supervisord started with pid 5", {}),
    ],
)
def test_a_message_about_a_program_has_its_fields(message: str, fields: dict[str, object]) -> None:
    """What supervisord says of a program can be searched for by program, exit status and signal."""
    assert about(message) == fields


def test_only_the_harmless_is_left_out() -> None:
    """A socket that only its owner can open is not critical.

    An open network port without a password is.
    """
    assert is_noise("Server 'unix_http_server' running without any HTTP authentication checking")
    assert not is_noise(
        "Server 'inet_http_server' running without any HTTP authentication checking"
    )


def test_the_words_say_what_the_field_says() -> None:
    """A daemon that asked to be started again ended as expected, in the text too.

    Any other unexpected end stays one.
    """
    assert (
        worded("exited: worker-a (exit status 75; not expected)")
        == "exited: worker-a (exit status 75; expected)"
    )
    for message in (
        "exited: worker-a (exit status 70; not expected)",
        "exited: beat (terminated by SIGKILL; not expected)",
    ):
        assert worded(message) == message


def test_what_supervisord_logs_is_a_line_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    """Each of supervisord's levels comes through, as `supervisor_record`.

    Details for supervisord's authors do not.
    """
    caplog.set_level(logging.INFO)
    supervisord = RecordLogger(LevelsByName.INFO)
    supervisord.info("spawned: 'beat' with pid %(pid)d", pid=7)
    supervisord.warn("exited: beat (terminated by SIGKILL; not expected)")
    supervisord.critical(
        "Server 'unix_http_server' running without any HTTP authentication checking"
    )
    told = [
        (record.levelname, record.msg) for record in caplog.records if isinstance(record.msg, dict)
    ]
    assert [level for level, _ in told] == ["INFO", "WARNING"]
    assert [line["event"] for _, line in told] == ["supervisor_record"] * 2
    assert (told[0][1]["child_pid"], told[1][1]["signal"]) == (7, "SIGKILL")
