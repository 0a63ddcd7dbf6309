"""RabbitMQ and Redis as processes of the test run.

They are on loopback, on ports and in directories of their own.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from support.wait import end_of, run_to_end, until
from warren.system.process import die_with_parent

RABBITMQ = Path("/usr/lib/rabbitmq/bin")
#: For a process that a test starts: it ends in order with a test run that is killed, or that a time
#: limit ends on the spot.
WITH_THE_RUN = partial(die_with_parent, signal.SIGTERM)
#: What holds the names of the ports that this process has got.
_claims: list[socket.socket] = []


def missing(component: str) -> None:
    """Skips the test at home; where CI is set a missing component is a failure."""
    text = (
        f"{component} is not installed; ./scripts/test as root installs it, or: apt-get install "
        f"{component}"
    )
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


def free_port() -> int:
    """Return a port of loopback on which no process listens now.

    No other test run on this machine gets it while this one lasts.

    A broker that is killed and started again is to find its port as it left it.
    """
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        claim = socket.socket(socket.AF_UNIX)
        try:
            # an abstract name: it is gone with this process
            claim.bind(f"\0warren-test-port-{port}")
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def process(
    arguments: list[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a session of its own.

    End the whole session afterwards, whatever happened.
    """
    with open(log, "ab") as out:
        running = subprocess.Popen(
            arguments,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
            preexec_fn=WITH_THE_RUN,
        )
    try:
        yield running
    finally:
        running.terminate()
        try:
            end_of(running)
        except subprocess.TimeoutExpired:
            running.kill()
            end_of(running)
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)  # what it left behind in its session


@contextmanager
def redis_server(directory: Path) -> Iterator[str]:
    """A Redis with a password; yields its URL."""
    port, password = free_port(), secrets.token_hex(8)
    with redis_server_at(directory, port, password):
        yield f"redis://:{password}@127.0.0.1:{port}/0"


@contextmanager
def redis_server_at(directory: Path, port: int, password: str, *more: str) -> Iterator[None]:
    """Run a Redis on a port that the caller chose.

    `more` lines of its configuration count before those that all have.
    """
    program = shutil.which("redis-server")
    if program is None:
        missing("redis-server")
    conf = directory / "redis.conf"
    lines = (
        "bind 127.0.0.1",
        f"port {port}",
        f"requirepass {password}",
        f"dir {directory}",
        "appendonly no",
        'save ""',
    )
    conf.write_text("\n".join((*lines, *more)) + "\n", encoding="utf-8")
    with process([str(program), str(conf)], directory / "redis.log"):
        until(lambda: listens(port), what="Redis to listen")
        yield


class RabbitMQNode:
    """One RabbitMQ node of the test run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, self.password = free_port(), secrets.token_hex(8)
        self.url = f"amqp://warren:{self.password}@127.0.0.1:{self.port}//"
        epmd_port, dist_port = free_port(), free_port()
        conf = directory / "rabbitmq.conf"
        conf.write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\ndefault_user = warren\ndefault_pass = "
            f"{self.password}\n"
            "loopback_users = none\ncluster_formation.peer_discovery_backend = classic_config\n",
            encoding="utf-8",
        )
        (directory / "enabled_plugins").write_text("[].\n", encoding="utf-8")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),  # the Erlang cookie is made there
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"warren-{secrets.token_hex(4)}@localhost",
            "RABBITMQ_CONFIG_FILE": str(conf),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_DIST_PORT": str(dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        self._epmd_port = epmd_port

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the node and its port mapper until the end of the block.

        Yield the script that runs the node.
        """
        with ExitStack() as stack:
            mapper = ["epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port)]
            stack.enter_context(process(mapper, self.directory / "epmd.log", self.environment))
            until(lambda: listens(self._epmd_port), what="epmd to listen")
            program = [str(RABBITMQ / "rabbitmq-server")]
            server = stack.enter_context(
                process(program, self.directory / "server.log", self.environment)
            )
            until(
                lambda: listens(self.port) or server.poll() is not None, what="RabbitMQ to listen"
            )
            until(
                lambda: self._has_started() or server.poll() is not None,
                what="RabbitMQ to have started",
                every=1.0,
            )
            assert server.poll() is None, (
                f"RabbitMQ ended: {(self.directory / 'server.log').read_text()[-2000:]}"
            )
            yield server

    def _has_started(self) -> bool:
        """Return whether the node answers.

        On a busy machine rabbitmqctl may fail to reach it in its own time.
        """
        try:
            self.ctl("await_startup")
        except subprocess.CalledProcessError:
            return False
        return True

    def add_vhost(self, name: str) -> str:
        """A virtual host in which the user of this node may do everything; its URL."""
        self.ctl("add_vhost", name)
        self.ctl("set_permissions", "-p", name, "warren", ".*", ".*", ".*")
        return f"{self.url.rstrip('/')}/{name}"

    def ctl(self, *arguments: str) -> str:
        """rabbitmqctl on this node; its output."""
        command = [str(RABBITMQ / "rabbitmqctl"), "-q", *arguments]
        return run_to_end(command, env=self.environment, check=True, capture_output=True).stdout


@contextmanager
def rabbitmq_server(directory: Path) -> Iterator[RabbitMQNode]:
    """A RabbitMQ node with a user of its own."""
    if not (RABBITMQ / "rabbitmq-server").exists():
        missing("rabbitmq-server")
    node = RabbitMQNode(directory)
    with node.running():
        yield node


def started(broker: str, directory: Path, stack: ExitStack) -> str:
    """Return the URL of a broker of its own, by the name of its kind, until the stack ends.

    It is empty for the embedded broker.
    """
    if broker == "redis":
        return stack.enter_context(redis_server(directory))
    if broker.startswith("rabbitmq"):
        (server := directory / "server").mkdir()
        return stack.enter_context(rabbitmq_server(server)).url
    return ""
