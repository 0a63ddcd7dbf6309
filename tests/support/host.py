"""Real hosts on one machine: systemd is process 1 of each.

They are in namespaces that the kernel removes with their last process.

A host's root is an overlay over the machine's own, or over that of another release of Debian, so it
has the packages of that and keeps its changes to itself. Its mounts and its network live in
namespaces held open by one idle process, the holder, and by the host's own: with the last of them
the kernel takes mounts and network away. What a test run that was killed has left of a host ends
when the next one is made.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from support import cgroups, releases
from support.servers import missing
from support.suite import children
from support.wait import TIMEOUT, end_of, run_to_end, until

#: What commands on a host get of the environment: nothing of the machine that runs the tests.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
#: The machine's services that no host of a test needs; a test asks for those that it does:
#: `Host.start("rabbitmq-server")`.
_MASKED = (
    "rabbitmq-server",
    "redis-server",
    "monit",
    "postgresql",
    "console-getty",
    "systemd-logind",
    "e2scrub_reap",
)
_TIMERS = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "logrotate.timer",
    "e2scrub_all.timer",
)
#: Where the holder's namespace keeps the host's files: any directory that every machine has.
_BASE = Path("/mnt")
#: Enters the host's control groups, then the holder's mounts, and becomes the command.
_ENTER = """
for group in $HOST_GROUPS; do echo $$ >"$group/cgroup.procs"; done
holder=$1; shift
exec nsenter --target "$holder" --mount -- "$@"
"""
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Host:
    """One booted host.

    `address` is its own in the network that it shares with the others of its `Network`.
    """

    def __init__(
        self,
        name: str,
        address: str,
        peers: dict[str, str],
        holder: int,
        console: Path,
        below: Path,
    ) -> None:
        self.name = name
        self.address = address
        self._peers = peers
        self._holder = holder
        self._console = console
        self._below = below
        self._groups = cgroups.make(holder)
        self._machine: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._boots = 0
        self._prepare()

    # -- power -------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Returns when systemd has started all that is enabled."""
        # Of a machine whose power was cut the systemd-nspawn of Debian 13 finds a mount, and
        # refuses its name.
        self._boots += 1
        machine_name = f"{self.name}-{self._holder}-{self._boots}"
        arguments = [
            "systemd-nspawn",
            "-D",
            str(_BASE / "root"),
            "-M",
            machine_name,
            "--hostname",
            self.name,
        ]
        arguments += [
            f"--network-namespace-path=/proc/{self._holder}/ns/net",
            "--boot",
            "--register=no",
            "--keep-unit",
        ]
        arguments += ["--resolv-conf=off", "--timezone=off", "--link-journal=no"]
        with open(self._console, "ab") as out:
            self._machine = machine = subprocess.Popen(
                ["sh", "-ec", _ENTER, "sh", str(self._holder), *arguments],
                env={**os.environ, "HOST_GROUPS": " ".join(map(str, self._groups))},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self._leader = until(
            lambda: self._running(machine) and _leader(machine.pid), what=f"a booting {self.name}"
        )
        until(
            lambda: self._running(machine) and self._state() in ("running", "degraded"),
            what=f"a booted {self.name}",
        )

    def power_cut(self) -> None:
        """End every process of the host at once.

        What it had not written to its disk is as lost as systemd allows.
        """
        if self._machine is None:
            return
        with suppress(ProcessLookupError):
            os.kill(self._leader, signal.SIGKILL)
        self._machine.kill()
        end_of(self._machine)
        self._machine = None

    def end(self) -> None:
        """Takes the host away for good."""
        self.power_cut()
        cgroups.remove(self._groups)

    # -- commands ----------------------------------------------------------------------------------

    def run(
        self, *arguments: str, check: bool = True, within: float = TIMEOUT, given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root on the host to its end.

        A failure fails the test with what the command printed.
        """
        done = run_to_end(
            self.command(*arguments),
            env=ENVIRONMENT,
            input=given,
            capture_output=True,
            within=within,
        )
        assert not check or done.returncode == 0, (
            f"{self.name}: {arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        )
        return done

    def sh(self, script: str, check: bool = True, within: float = TIMEOUT) -> str:
        """Runs a shell line as root; its output."""
        return self.run("sh", "-ec", script, check=check, within=within).stdout

    def command(self, *arguments: str) -> list[str]:
        """Return the arguments that run a command on this host.

        They are for callers that start it themselves with `ENVIRONMENT`.
        """
        return ["nsenter", "--target", str(self._leader), "--all", "--", *arguments]

    def start(self, *units: str) -> None:
        """Unmasks, enables and starts services of the machine's packages."""
        self.run("systemctl", "unmask", "--quiet", *units)
        self.run("systemctl", "enable", "--quiet", *units)
        self.run("systemctl", "start", *units)

    def show(self, unit: str, name: str) -> str:
        """One property of a unit, as `systemctl show` says it."""
        return self.run("systemctl", "show", "--value", "--property", name, unit).stdout.strip()

    def journal(self, unit: str) -> str:
        """Every message of a unit since the host was made, one a line."""
        return self.run("journalctl", "--no-pager", "--output=cat", "--unit", unit).stdout

    # -- files -------------------------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The host's files as this process reaches them while the host runs."""
        return Path(f"/proc/{self._leader}/root")

    @property
    def written(self) -> Path:
        """Return what the host has written to its root directory.

        The machine's own files below it are left out.
        """
        return Path(f"/proc/{self._holder}/root{_BASE}/upper")

    def path(self, path: str) -> Path:
        """A path of the host, as this process reaches it.

        The last part must not be an absolute symbolic link.
        """
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Makes a file, and the directories above it."""
        there = self.path(path)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(text, encoding="utf-8")
        there.chmod(mode)

    def read(self, path: str) -> str:
        """The text of a file; empty when there is none."""
        try:
            return self.path(path).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def copy(self, source: Path, target: str) -> None:
        """Copies a file of the machine to the host."""
        shutil.copy(source, self.path(target))

    # ----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        base, root = _BASE, _BASE / "root"
        hosts = "\n".join(
            ("127.0.0.1 localhost", *(f"{address} {name}" for name, address in self._peers.items()))
        )
        script = f"""
            cd {self._below}  # it may be what the next line hides
            mount -t tmpfs -o size=4g,mode=755 tmpfs {base}
            mkdir {base}/upper {base}/work {root}
            mount -t overlay overlay -o lowerdir=.,upperdir={base}/upper,workdir={base}/work {root}
            echo {self.name} >{root}/etc/hostname
            echo '{hosts}' >{root}/etc/hosts
            rm -f {root}/usr/sbin/policy-rc.d {root}/etc/machine-id
            rm -rf {root}/etc/warren {root}/var/lib/warren {root}/var/log/warren
            systemd-machine-id-setup --root={root} >/dev/null 2>&1
            mkdir -p {root}/var/log/journal
            for unit in {" ".join(_MASKED)} {" ".join(_TIMERS)}; do
                case $unit in *.*) ;; *) unit=$unit.service ;; esac
                ln -sf /dev/null {root}/etc/systemd/system/$unit
            done
        """
        done = run_to_end(
            [
                "nsenter",
                "--target",
                str(self._holder),
                "--mount",
                "--wd=/",
                "--",
                "sh",
                "-ec",
                script,
            ],
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr

    def _state(self) -> str:
        try:
            arguments = self.command("systemctl", "is-system-running")
            # load: it may hang while systemd begins, and is asked again.
            return subprocess.run(
                arguments, env=ENVIRONMENT, capture_output=True, text=True, timeout=10, check=False
            ).stdout.strip()
        except subprocess.TimeoutExpired:
            return "unknown"

    def _running(self, machine: subprocess.Popen[bytes]) -> bool:
        assert machine.poll() is None, (
            f"{self.name} did not boot: {self._console.read_text(errors='replace')[-2000:]}"
        )
        return True


class Network:
    """Hosts that reach each other and nothing else.

    Their bridge is in a network namespace of its own.
    """

    def __init__(self, stack: ExitStack, directory: Path, below: Path) -> None:
        self._stack = stack
        self._directory = directory
        self._below = below
        self._addresses: dict[str, str] = {}
        self._switch = _holder(stack)
        _ip(self._switch, "link add bridge0 type bridge", "link set bridge0 up")

    def hosts(self, *names: str) -> list[Host]:
        """Boot hosts of these names.

        They know each other and those that the network had before.
        """
        for name in names:
            self._addresses[name] = f"10.213.7.{len(self._addresses) + 2}"
        return [self._host(name, self._addresses[name], dict(self._addresses)) for name in names]

    @contextmanager
    def cut(self, host: Host) -> Iterator[None]:
        """Cut the host off while the block runs, unannounced.

        Its far end is out of the switch.
        """
        _ip(self._switch, f"link set {host.name} nomaster")
        try:
            yield
        finally:
            _ip(self._switch, f"link set {host.name} master bridge0")

    def _host(self, name: str, address: str, peers: dict[str, str]) -> Host:
        holder = _holder(self._stack)
        _ip(
            self._switch,
            f"link add {name} type veth peer name eth0 netns {holder}",
            f"link set {name} master bridge0 up",
        )
        _ip(holder, "link set lo up", f"addr add {address}/24 dev eth0", "link set eth0 up")
        host = Host(name, address, peers, holder, self._directory / f"{name}.console", self._below)
        self._stack.callback(host.end)
        host.boot()
        return host


@contextmanager
def network(directory: Path, release: str = releases.CHOSEN) -> Iterator[Network]:
    """A network for hosts of this release, which all end with the block. Needs root."""
    for program, package in (
        ("systemd-nspawn", "systemd-container"),
        ("ip", "iproute2"),
        ("nsenter", "util-linux"),
    ):
        if shutil.which(program) is None:
            missing(package)
    if os.geteuid() != 0:
        releases.without_root("booted hosts need root")
    below = releases.root_of(release)
    with ExitStack() as stack:
        yield Network(stack, directory, below)


def _holder(stack: ExitStack) -> int:
    """An idle process with a mount and a network namespace of its own; its number."""
    holder = subprocess.Popen(
        [
            "unshare",
            "--mount",
            "--net",
            "--propagation",
            "private",
            "--",
            "sh",
            "-c",
            "echo; exec sleep infinity",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )
    stack.callback(_end, holder)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"\n", "expected unshare to make the namespaces"
    return holder.pid


def _leader(machine: int) -> int:
    """Return the child of systemd-nspawn that is process 1 of its namespace.

    Return 0 while there is only the process that prepares for it.
    """
    for child in children(machine):
        with suppress(OSError):
            status = Path(f"/proc/{child}/status").read_text(encoding="ascii")
            numbers = next(
                line for line in status.splitlines() if line.startswith("NSpid:")
            ).split()
            if len(numbers) > 2 and numbers[-1] == "1":
                return child
    return 0


def _end(holder: subprocess.Popen[bytes]) -> None:
    holder.kill()
    end_of(holder)
    if holder.stdout is not None:
        holder.stdout.close()


def _ip(holder: int, *lines: str) -> None:
    run_to_end(
        ["nsenter", "--target", str(holder), "--net", "--", "ip", "-batch", "-"],
        input="\n".join(lines) + "\n",
        check=True,
        capture_output=True,
    )


def _die_with_parent() -> None:
    """In the child: the kernel ends it when the test run vanishes. Kept across exec."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
