"""rabbitmqctl as Warren calls it: where the password goes, and what is said when it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from warren.broker.rabbitmq import node_state
from warren.broker.rabbitmq.rabbitmqctl import Rabbitmqctl, find
from warren.errors import Unavailable, WarrenError

#: Output of rabbitmqctl 3.10.8 and 4.0.5, and a part of what Warren says of it.
FAILURES = [
    (
        69,
        "Error: unable to perform an operation on node 'rabbit@localhost'. Please see "
        "diagnostics information and suggestions below.\n\nMost common reasons for this are:\n",
        "RabbitMQ on this host does not answer: unable to perform an operation on node",
        Unavailable,
    ),
    (
        64,
        "Error: this command requires the 'rabbit' app to be running on the target node. Start it "
        "with 'rabbitmqctl start_app'.\nArguments given:\n\t-q list_users\n",
        "run rabbitmqctl start_app, then run this command again",
        Unavailable,
    ),
    (
        70,
        'Error:\n{:no_such_user, "nobody"}\n',
        'rabbitmqctl add_vhost failed: {:no_such_user, "nobody"}',
        WarrenError,
    ),
    (1, "", "rabbitmqctl add_vhost failed: no output", WarrenError),
]


def script(directory: Path, text: str) -> Rabbitmqctl:
    """A rabbitmqctl of the test's own."""
    program = directory / "rabbitmqctl"
    program.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    program.chmod(0o755)
    return Rabbitmqctl(str(program), {"PATH": "/usr/bin:/bin", "HERE": str(directory)})


@pytest.mark.parametrize(("code", "said", "told", "kind"), FAILURES)
def test_a_failure_is_told_with_its_remedy(
    tmp_path: Path, code: int, said: str, told: str, kind: type[WarrenError]
) -> None:
    """Each way to fail has its own words."""
    (tmp_path / "said").write_text(said, encoding="utf-8")
    ctl = script(tmp_path, f'cat "$HERE/said" >&2; exit {code}')
    with pytest.raises(WarrenError) as caught:
        ctl.tell("add_vhost", "warren")
    assert told in str(caught.value)
    assert type(caught.value) is kind


def test_a_password_is_no_argument(tmp_path: Path) -> None:
    """It comes on standard input, behind a command without options (RabbitMQ 4 waits otherwise)."""
    ctl = script(tmp_path, 'echo "$*" > "$HERE/args"; cat > "$HERE/input"')
    ctl.give_password("add_user", "warren", "secret")
    assert (tmp_path / "args").read_text() == "add_user warren\n"
    assert (tmp_path / "input").read_text() == "secret"
    assert ctl.accepts("warren", "other")
    assert (tmp_path / "args").read_text() == "authenticate_user warren\n"
    assert not script(tmp_path, "exit 65").accepts("warren", "other")


def test_roots_environment_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of root's environment rabbitmqctl gets what names its node, and nothing else."""
    monkeypatch.setenv("RABBITMQ_NODENAME", "here")
    monkeypatch.setenv("SECRET_OF_ROOT", "x")
    found = Rabbitmqctl("/bin/true").environment
    assert found["RABBITMQ_NODENAME"] == "here"
    assert "SECRET_OF_ROOT" not in found
    assert found["PATH"] == "/usr/sbin:/usr/bin:/sbin:/bin"


def test_no_rabbitmqctl(tmp_path: Path) -> None:
    """A host without RabbitMQ is told what to install, and a broken program what is wrong."""
    with pytest.raises(Unavailable, match="apt install rabbitmq-server"):
        find(str(tmp_path))
    with pytest.raises(Unavailable, match="No such file"):
        Rabbitmqctl(str(tmp_path / "gone")).tell("status")
    with pytest.raises(WarrenError, match="expected JSON, found 'Listing"):
        script(tmp_path, "echo Listing users").ask("list_users")


@pytest.mark.parametrize(
    ("text", "seconds"), [("{ok,1800000}\n", 1800.0), ("undefined", None), ("{ok,infinity}", None)]
)
def test_consumer_timeout(text: str, seconds: float | None) -> None:
    """As eval prints it."""
    assert node_state.consumer_timeout(text) == seconds


def test_what_the_node_says_of_itself() -> None:
    """Version, ports and file, as 3.10.8 and 4.0.5 name them."""
    status = {
        "rabbitmq_version": "4.0.5",
        "config_files": ["/etc/rabbitmq/advanced.config", "/srv/rabbitmq.conf"],
        "listeners": [
            {"port": 25672, "protocol": "clustering", "interface": "[::]"},
            {"port": 5673, "protocol": "amqp", "interface": "[::]"},
            {"port": 5671, "protocol": "amqp/ssl", "interface": "[::]"},
        ],
    }
    assert node_state.version(status) == "4.0.5"
    assert node_state.amqp_ports(status) == (5673,)
    assert node_state.config_file(status) == "/srv/rabbitmq.conf"
    assert node_state.config_file({}) == "/etc/rabbitmq/rabbitmq.conf"
    with pytest.raises(WarrenError, match=r"expected RabbitMQ 3.10 or later, found 3.9.13"):
        node_state.version({"rabbitmq_version": "3.9.13"})


def test_queues_of_connections_are_left_out() -> None:
    """`exclusive` of a quorum queue is an empty text on 3.10."""
    listed: list[dict[str, object]] = [
        {"name": "a", "type": "quorum", "exclusive": "", "auto_delete": ""},
        {"name": "b", "type": "classic", "exclusive": True, "auto_delete": False},
        {"name": "c", "type": "classic", "exclusive": False, "auto_delete": True},
    ]
    assert node_state.task_queues(listed) == {"a": "quorum"}
