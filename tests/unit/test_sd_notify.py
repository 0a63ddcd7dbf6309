"""What systemd is told, over a real socket."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from support.systemd import systemd
from warren.errors import ConfigError, Origin, Problem, WarrenError
from warren.supervise.status import sd_notify
from warren.supervise.status.sd_notify import LONGEST_STATUS, Notifier, clean, take


@pytest.mark.parametrize("abstract", [False, True])
def test_each_word_arrives(tmp_path: Path, abstract: bool) -> None:
    """A path and an abstract name both work, and a status may hold any character."""
    with systemd(tmp_path, abstract) as listener:
        notifier = Notifier(listener.address)
        notifier.ready("prêt: 3 workers")
        notifier.reloading()
        notifier.stopping("stopping")
        ready, reloading, stopping = listener.listen()
    assert ready == {"READY": "1", "STATUS": "prêt: 3 workers"}
    assert reloading["RELOADING"] == "1"
    assert int(reloading["MONOTONIC_USEC"]) > 0
    assert stopping == {"STOPPING": "1", "STATUS": "stopping"}


def test_a_status_is_sent_when_it_changes(tmp_path: Path) -> None:
    """The same line again is no news."""
    with systemd(tmp_path) as listener:
        notifier = Notifier(listener.address)
        for status in ("a", "a", "b", "a"):
            notifier.status(status)
        assert listener.said("STATUS") == ["a", "b", "a"]


def test_the_watchdog_is_fed_only_when_it_is_ours(tmp_path: Path) -> None:
    """WATCHDOG=1 goes out at once, then at a quarter of the time.

    It does not without WATCHDOG_USEC, nor for another process.
    """
    with systemd(tmp_path) as listener:
        for words, fed in (
            ({"WATCHDOG_USEC": "60000000"}, 1),
            ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 1),
            ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, 0),
            ({"WATCHDOG_USEC": "0"}, 0),
            ({}, 0),
            ({"WATCHDOG_USEC": "1"}, 3),
        ):
            before = len(listener.said("WATCHDOG"))
            environment = {"NOTIFY_SOCKET": listener.address, "HOME": "/", **words}
            notifier = take(environment)
            assert environment == {"HOME": "/"}
            for _ in range(3):
                notifier.alive()
            assert len(listener.said("WATCHDOG")) - before == fed, words


def test_more_time_is_asked_for_now_and_then(tmp_path: Path) -> None:
    """Each step of the loop may ask, and systemd hears it every few seconds.

    It hears it at once when a stop begins.
    """
    with systemd(tmp_path) as listener:
        notifier = Notifier(listener.address)
        for _ in range(3):
            notifier.extend(15)
        assert listener.said("EXTEND_TIMEOUT_USEC") == ["15000000"]
        notifier.stopping("")
        notifier.extend(15)
        assert len(listener.said("EXTEND_TIMEOUT_USEC")) == 2


def test_nothing_is_lost_when_systemd_reads_slowly(tmp_path: Path) -> None:
    """A full socket does not block the loop; what did not fit is sent later, in order."""
    with systemd(tmp_path) as listener:
        notifier = Notifier(listener.address)
        crowd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sent = 0
        try:
            while crowd.sendto(b"NOISE=1", listener.address):
                sent += 1
        except BlockingIOError:
            pass
        crowd.close()
        assert sent
        notifier.status("first")
        notifier.ready("second")
        assert listener.said("STATUS") == []
        notifier.alive()
        assert listener.said("STATUS") == ["first", "second"]


def test_nobody_listens(tmp_path: Path) -> None:
    """Without systemd, or with a socket that has gone, nothing is raised."""
    for address in ("", str(tmp_path / "gone")):
        notifier = Notifier(address, 0.0)
        notifier.ready("ready")
        notifier.alive()


def test_an_address_that_cannot_be_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told once, with what is wrong with it."""
    told: list[str] = []
    monkeypatch.setattr(
        sd_notify,
        "logger",
        lambda: SimpleNamespace(error=lambda event, reason: told.append(reason)),
    )
    notifier = Notifier(str(tmp_path / ("x" * 200)))
    notifier.ready("ready")
    notifier.status("more")
    assert told == ["systemd takes no datagram on NOTIFY_SOCKET: AF_UNIX path too long"]


def test_a_socket_that_was_replaced_is_found_again(tmp_path: Path) -> None:
    """systemd may bind its socket again: each datagram looks for the one that is there."""
    with systemd(tmp_path) as listener:
        notifier = Notifier(listener.address)
        notifier.status("first")
        assert listener.said("STATUS") == ["first"]
    Path(listener.address).unlink(missing_ok=True)
    notifier.status("to nobody")
    with systemd(tmp_path) as listener:
        notifier.status("second")
        Path(listener.address).unlink()
        notifier.status("to nobody again")
        with systemd(tmp_path) as other:
            notifier.status("third")
            assert other.said("STATUS") == ["third"]
        assert listener.said("STATUS") == ["second"]


def test_the_environment_names_no_socket_for_a_child(tmp_path: Path) -> None:
    """A program that supervisord starts later is not the service."""
    with systemd(tmp_path) as listener:
        Notifier(listener.address).status("first")
    assert "NOTIFY_SOCKET" not in os.environ


def test_a_refused_start_says_why(tmp_path: Path) -> None:
    """The first located problem is in STATUS, and how many there are beyond it."""
    problem = Problem(
        Origin(tmp_path / "warren.ini", 3), "worker:a", "prefetch", "a whole number", "'many'"
    )
    with systemd(tmp_path) as listener:
        notifier = Notifier(listener.address)
        for error in (
            ConfigError([problem]),
            ConfigError([problem, problem]),
            WarrenError("no room"),
        ):
            with pytest.raises(WarrenError), notifier.refusals():
                raise error
        first, second, third = listener.said("STATUS")
    assert first == (
        f"refused: {tmp_path}/warren.ini:3: [worker:a] prefetch: expected a whole number, "
        "found 'many'"
    )
    assert second == f"{first} (and 1 more)"
    assert third == "refused: no room"


@pytest.mark.parametrize("text", ["one\ntwo\0", "\udcff", "é" * 5000])
def test_any_status_is_one_short_line_of_utf8(text: str) -> None:
    """systemd would drop a line that is longer, broken, or no UTF-8."""
    line = clean(text)
    assert len(line.encode("utf-8")) <= LONGEST_STATUS
    assert "\n" not in line


def test_a_status_shows_no_secret() -> None:
    """`systemctl status` may be called by every user of the host."""
    assert (
        clean("refused: cannot use amqp://u:secret77@h?x") == "refused: cannot use amqp://u:***@h?x"
    )


def test_a_backslash_stays(tmp_path: Path) -> None:
    """systemd takes a backslash away and keeps what stands behind it.

    It drops a datagram that ends with a backslash.
    """
    with systemd(tmp_path) as listener:
        Notifier(listener.address).status("found 'a\\nb\\'")
        [said] = listener.said("STATUS")
    assert re.sub(r"\\(.)", r"\1", said) == "found 'a\\nb\\'"
