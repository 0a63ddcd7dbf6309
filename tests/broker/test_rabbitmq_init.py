"""`warren broker init` with a real RabbitMQ: from nothing, again, cut off anywhere, and refused.

rabbitmqctl is a script of the test's own before the real one: it can kill Warren, or fail, at a
command. Each test has a virtual host and a user of its own.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import amqp
import pytest

from support.servers import RABBITMQ, RabbitMQNode
from support.wait import run_to_end
from warren.broker.rabbitmq import broker_url
from warren.broker.rabbitmq.broker_init import BrokerInit, Wanted
from warren.broker.rabbitmq.rabbitmqctl import Rabbitmqctl
from warren.broker.rabbitmq.undoable_steps import Outcome, Step
from warren.config.url_place import place_of
from warren.errors import CannotWrite, WarrenError
from warren.system.users import own_name, user_named

#: Notes each command; kills Warren, or fails, where the test says so.
WRAPPER = f"""#!/bin/sh
echo "$*" >> "$NOTES"
case " $* " in *" $FAILS_AT "*) echo "Error: broken by the test" >&2; exit 70;; esac
case " $* " in *" $KILLS_BEFORE "*) kill -KILL $PPID; exit 1;; esac
{RABBITMQ}/rabbitmqctl "$@"
code=$?
case " $* " in *" $KILLS_AFTER "*) kill -KILL $PPID;; esac
exit $code
"""
#: A run in a process of its own, which may be killed.
RUN = """
import os, sys
from pathlib import Path
from warren.broker.rabbitmq.broker_init import BrokerInit, Wanted
from warren.broker.rabbitmq.rabbitmqctl import Rabbitmqctl
from warren.config.url_place import place_of
from warren.system.users import user_of
etc, program, name = sys.argv[1:]
ctl, user = Rabbitmqctl(program, dict(os.environ)), user_of(os.geteuid())
BrokerInit(ctl, user, Wanted(name, name), print).run(place_of(Path(etc), "here"))
"""


class Host:
    """A directory of settings, and the node with names of the test's own."""

    def __init__(self, node: RabbitMQNode, scratch: Path) -> None:
        self.node, self.scratch, self.etc = node, scratch, scratch / "etc"
        self.name = f"init-{secrets.token_hex(4)}"
        self.url_file = self.etc / "secrets/broker-url"
        self.ini = self.etc / "conf.d/broker.ini"
        self.etc.mkdir()
        self.configure("")
        self.program = scratch / "rabbitmqctl"
        self.program.write_text(WRAPPER, encoding="utf-8")
        self.program.chmod(0o755)
        self.notes = scratch / "notes"

    def configure(self, text: str) -> None:
        directories = "".join(
            f"{name}_dir = {self.scratch / name}\n" for name in ("state", "log", "run")
        )
        ini = f"[app]\n{directories}[worker:main]\ntime_limit = 1m\n{text}"
        (self.etc / "warren.ini").write_text(ini, encoding="utf-8")

    def environment(self, **at: str) -> dict[str, str]:
        return {
            **self.node.environment,
            "NOTES": str(self.notes),
            **dict.fromkeys(("FAILS_AT", "KILLS_BEFORE", "KILLS_AFTER"), "nowhere"),
            **at,
        }

    def init(self, wanted: Wanted | None = None, **at: str) -> list[Step]:
        """One run in this process; its steps. `warnings` has what it warned of."""
        user = user_named(own_name())
        assert user is not None
        self.steps: list[Step] = []
        run = BrokerInit(
            Rabbitmqctl(str(self.program), self.environment(**at)),
            user,
            wanted or Wanted(self.name, self.name),
            self.steps.append,
        )
        self.warnings = run.run(place_of(self.etc, "here"))
        return self.steps

    def killed(self, **at: str) -> None:
        """A run in a process of its own, which is killed."""
        arguments = [sys.executable, "-c", RUN, str(self.etc), str(self.program), self.name]
        done = run_to_end(arguments, env=self.environment(**at), capture_output=True)
        assert done.returncode == -9, done.stderr

    def outcomes(self) -> dict[str, str]:
        return {step.name: str(step.outcome) for step in self.steps}

    def exists(self) -> tuple[bool, bool, bool, bool]:
        """Whether there are virtual host, user, URL file and INI file."""
        return (
            self.name in self.node.ctl("list_vhosts").split(),
            self.name in self.node.ctl("list_users").split(),
            self.url_file.exists(),
            self.ini.exists(),
        )

    def log_in(self) -> None:
        """The suite can declare a queue with the URL that its settings name."""
        url = place_of(self.etc, "here").url
        found = broker_url.parse(url)
        assert found.port == self.node.port
        with amqp.Connection(
            f"{found.host}:{found.port}", found.user, found.password, virtual_host=found.vhost
        ) as connection:
            connection.channel().queue_declare("mine", auto_delete=True)
        assert self.url_file.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def host(rabbitmq: RabbitMQNode, scratch: Path) -> Iterator[Host]:
    made = Host(rabbitmq, scratch)
    yield made
    if made.name in rabbitmq.ctl("list_users").split():
        rabbitmq.ctl("delete_user", made.name)
    if made.name in rabbitmq.ctl("list_vhosts").split():
        rabbitmq.ctl("delete_vhost", made.name)


def test_from_nothing_and_again(host: Host) -> None:
    """The first run makes all, the second changes nothing; no password was an argument."""
    host.init(Wanted(host.name, host.name, dry_run=True))
    assert host.exists() == (False, False, False, False)
    assert "planned" in host.outcomes().values()
    assert "done" not in host.outcomes().values()
    host.init()
    host.log_in()
    made = ("vhost", "url", "user", "permissions", "ini")
    assert [name for name, outcome in host.outcomes().items() if outcome == "done"] == list(made)
    password = broker_url.parse(place_of(host.etc, "here").url).password
    assert len(password) >= 40
    before = host.url_file.stat(), host.ini.stat()
    assert set(host.init() and host.outcomes().values()) == {"unchanged"}
    assert (host.url_file.stat(), host.ini.stat()) == before
    assert password not in host.notes.read_text()
    assert host.node.ctl("list_user_permissions", host.name).split()[-4:] == [
        host.name,
        ".*",
        ".*",
        ".*",
    ]


@pytest.mark.parametrize(
    ("when", "at"),
    [
        ("KILLS_AFTER", "add_vhost"),
        ("KILLS_BEFORE", "add_user"),
        ("KILLS_AFTER", "add_user"),
        ("KILLS_AFTER", "set_permissions"),
        ("KILLS_BEFORE", "authenticate_user"),
    ],
)
def test_a_killed_run_is_completed_by_the_next(host: Host, when: str, at: str) -> None:
    """Wherever `kill -9` struck."""
    host.killed(**{when: at})
    host.init()
    host.log_in()


@pytest.mark.parametrize("at", ["add_user", "set_permissions", "authenticate_user"])
def test_a_failure_leaves_nothing(host: Host, at: str) -> None:
    """What this run has made is undone, and told."""
    with pytest.raises(WarrenError, match="broken by the test"):
        host.init(FAILS_AT=at)
    assert host.exists() == (False, False, False, False)
    assert Outcome.LEFT not in [step.outcome for step in host.steps]
    host.init()
    host.log_in()


def test_what_was_there_survives_a_failure(host: Host) -> None:
    """A virtual host and an INI file of an operator are not undone."""
    host.node.ctl("add_vhost", host.name)
    host.ini.parent.mkdir()
    host.ini.write_text("[broker]\nconnect_timeout = 9s\n")
    with pytest.raises(WarrenError, match="broken by the test"):
        host.init(FAILS_AT="authenticate_user")
    assert host.exists() == (True, False, False, True)
    assert host.ini.read_text() == "[broker]\nconnect_timeout = 9s\n"
    host.init()
    host.log_in()
    assert "connect_timeout = 9s" in host.ini.read_text()


@pytest.mark.parametrize("left", ["lost", "wrong"])
def test_a_url_that_is_lost_or_wrong(host: Host, left: str) -> None:
    """The user gets a new password, and the file has it."""
    host.init()
    old = host.url_file.read_text()
    if left == "lost":
        host.url_file.unlink()
    else:
        password = broker_url.parse(old.strip()).password
        host.url_file.write_text(old.replace(password, "wrong") + "\n")
    wrong = host.url_file.read_text() if left != "lost" else ""
    with pytest.raises(WarrenError, match="broken by the test"):
        host.init(FAILS_AT="change_password")
    assert (host.url_file.read_text() if host.url_file.exists() else "").split() == wrong.split()
    host.init()
    assert host.outcomes() | {"url": "", "user": ""} == dict.fromkeys(
        host.outcomes(), "unchanged"
    ) | {"url": "", "user": ""}
    assert host.url_file.read_text() != old
    host.log_in()


def test_a_file_that_the_ini_names(host: Host) -> None:
    """It is used, and no INI file is written."""
    host.url_file = host.scratch / "mine"
    host.configure(f"[broker]\nurl_file = {host.url_file}\n")
    host.init()
    host.log_in()
    assert host.exists() == (True, True, True, False)


def test_a_later_file_wins(host: Host) -> None:
    """An empty `url_file` in a file that counts more is found, and all is undone."""
    (host.etc / "hosts").mkdir()
    (host.etc / "hosts/here.ini").write_text("[broker]\nurl_file =\n")
    with pytest.raises(WarrenError, match=r"hosts/here\.ini:2: .*a later line replaces it"):
        host.init()
    assert host.exists() == (False, False, False, False)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("amqp://{name}:p@192.0.2.1/{name}", "found the URL of another host"),
        ("amqp://admin:p@127.0.0.1/{name}", "add --user admin --vhost {name} if that is meant"),
        ("amqp://{name}:p@127.0.0.1/pay", "found user {name} and virtual host pay"),
    ],
)
def test_the_file_decides_no_names(host: Host, url: str, told: str) -> None:
    """A task may write it: it gets no rights elsewhere by it. Nothing is begun."""
    host.url_file.parent.mkdir()
    host.url_file.write_text(url.format(name=host.name))
    host.url_file.chmod(0o600)
    with pytest.raises(WarrenError, match=told.format(name=host.name)):
        host.init()
    assert host.exists() == (False, False, True, False)


def test_queues_of_another_program(host: Host) -> None:
    """A queue of the other type is refused before anything is done; others are told."""
    host.node.ctl("add_vhost", host.name)
    host.node.ctl("set_permissions", "-p", host.name, "warren", ".*", ".*", ".*")
    address = f"127.0.0.1:{host.node.port}"
    with amqp.Connection(
        address, "warren", host.node.password, virtual_host=host.name
    ) as connection:
        channel = connection.channel()
        channel.queue_declare("default", durable=True, auto_delete=False)
        channel.queue_declare("pay.orders", durable=True, auto_delete=False)
    with pytest.raises(WarrenError, match="found default of type classic; set queue_type"):
        host.init()
    assert host.exists() == (True, False, False, False)
    host.configure("[broker]\nqueue_type = classic\n")
    host.init()
    assert any("do not name: pay.orders;" in warning for warning in host.warnings)


def test_guest(host: Host) -> None:
    """It is deleted at the end, unless it is kept, in use, or has a password of its own."""
    wanted = Wanted(host.name, host.name)
    ctl = host.node.ctl
    ctl("add_user", "guest", "guest")
    ctl("set_permissions", "-p", "/", "guest", ".*", ".*", ".*")
    try:
        host.init(replace(wanted, keep_guest=True))
        assert host.outcomes()["guest"] == "unchanged"
        with amqp.Connection(f"127.0.0.1:{host.node.port}", "guest", "guest"):
            host.init(wanted)
        assert host.outcomes()["guest"] == "unchanged"
        assert any("has 1 connections" in warning for warning in host.warnings)
        ctl("change_password", "guest", "own")
        host.init(wanted)
        assert host.outcomes()["guest"] == "unchanged"
        ctl("change_password", "guest", "guest")
        host.init(wanted)
        assert host.outcomes()["guest"] == "done"
        assert "guest" not in ctl("list_users").split()
    finally:
        if "guest" in ctl("list_users").split():
            ctl("delete_user", "guest")


def test_a_directory_that_cannot_be_written(host: Host) -> None:
    """A file in the place of the directory is named; the virtual host is undone."""
    (host.etc / "secrets").write_text("")
    with pytest.raises((CannotWrite, WarrenError), match="Not a directory"):
        host.init()
    assert host.exists()[:2] == (False, False)
