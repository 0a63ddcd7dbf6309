"""What root types on a host whose tasks are hostile.

Nothing of the suite's becomes root, and nothing hangs.

Everything that the suite's user may write to is planted with links, fifos and locks, and the task
module is hostile. Then every command of the guides is typed on a terminal, one after the other.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.host import Host, Network
from support.installed import HEAD, Installed
from support.package import ROOT
from support.wait import until

INI = HEAD + "[worker:main]\nconcurrency = 1\n"
#: Notes as whom it is imported, and types into whatever terminal it finds (TIOCSTI).
MODULE = """
import fcntl, os, sys, termios
from celery import shared_task

def note(word):
    status = open("/proc/self/status").read()
    gains = "NoNewPrivs:\\t0" in status
    more = f"{' '.join(sys.argv)} {os.environ.get('OF_ROOT', '')}"
    line = f"{word} uid={os.getuid()} euid={os.geteuid()} gains={gains} {more}\\n"
    handle = os.open("/var/lib/warren/notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(handle, line.encode())
    os.close(handle)

def type_into_terminals():
    found = [0, 1, 2]
    try:
        found.append(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        pass
    for handle in found:
        try:
            for letter in "id >/root/typed\\n":
                fcntl.ioctl(handle, termios.TIOCSTI, letter)
            note("typed")
        except OSError:
            pass
        if os.isatty(handle):
            note("terminal")

note("imported")
type_into_terminals()
print("\\033]0;title by a module\\007\\033[2J")
print("\\033]0;title by a module\\007\\033[2J", file=sys.stderr)

@shared_task(name="jobs.add")
def add(a, b):
    return a + b

@shared_task(name="jobs.title")
def title():
    return "\\033]0;title by a task\\007[link=http://evil.example]click[/link][/nothing]"
"""
#: A package named like Warren's own, for whoever takes PYTHONPATH from the suite's processes.
EVIL = """
import os
with open("/var/lib/warren/evil", "a") as file:
    print(os.getuid(), open("/proc/self/status").read(), file=file)
"""
#: Holds locks on files for as long as it lives, and notes each signal.
HOLDER = """
import fcntl, os, signal, sys, time
notes, files = sys.argv[1], [open(path, "a+") for path in sys.argv[2:]]
for file in files:
    fcntl.lockf(file, fcntl.LOCK_EX)
def heard(number, frame):
    with open(notes, "a") as out:
        print(number, file=out, flush=True)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, heard)
open(notes, "a").close()
while True:
    time.sleep(60)
"""
#: Where a command may leave something: the suite's own directories, and what the host itself writes
#: all the time.
OURS = ("/var/lib/warren/", "/var/log/warren/", "/run/warren/", "/srv/jobs/")
HOSTS = (
    "/var/log/journal/",
    "/run/log/",
    "/run/systemd/",
    "/run/udev/",
    "/var/lib/systemd/",
    "/tmp/",  # noqa: S108
    "/var/tmp/",  # noqa: S108
)
#: What systemd writes for Monit.
PID_FILE = "/run/warren.pid"
#: Commands that end when somebody ends them.
ENDLESS = re.compile(r"warren logs.* -f\b|warren supervise$")
#: Not for a suite that is stopped: they would start it.
BUSY = re.compile(r"\b(start|restart|stop)\b|init\.d|--detach|--stop")
#: What this test leaves itself.
TYPED = re.compile(r"/root/(out|rc)\.\d+$|/root/(type\.sh|mark|victim)$")
VERBS = re.compile(r"(warren|systemctl|runuser|/etc/init\.d/warren)\b ")


def documented() -> list[str]:
    """Every command of the guides that root may type.

    They are the verbs of `warren`, and what speaks to its unit or runs as its user.
    """
    found: list[str] = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        fenced = False
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("```"):
                fenced = not fenced
            elif fenced or line.startswith("    "):
                bare = re.sub(r"\s+#.*|   .*", "", line.strip()).removeprefix("$ ")
                found += [
                    part for part in re.split(r"\s*(?:\|\||&&|[|;&])\s*", bare) if VERBS.match(part)
                ]
    return sorted(set(found))


def test_the_guides_name_commands() -> None:
    """The test would notice if it collected nothing."""
    assert {
        "warren status",
        "warren reload",
        "warren restart --rolling",
        "warren check",
        "warren stop",
    } <= {*documented()}


@pytest.fixture(scope="module")
def attacked(net: Network, package: Path) -> Installed:
    """A suite on the embedded broker whose task module is hostile."""
    (host,) = net.hosts("attacked")
    made = Installed(host, package, INI, broker=False)
    host.write("/srv/jobs/jobs.py", MODULE)
    host.write("/root/holder.py", HOLDER)
    host.write("/srv/jobs/holder.py", HOLDER)
    # The old way into a terminal is open on many hosts: Debian 12's kernel has no setting for it.
    host.sh("sysctl -q -w dev.tty.legacy_tiocsti=1 || true", check=False)
    return made


@contextmanager
def changes(host: Host) -> Iterator[list[str]]:
    """Fill the list, behind the block, with what was changed meanwhile.

    Only changes outside of the suite's directories count.
    """
    host.sh("sleep 1.1; touch /root/mark; sleep 1.1")
    found: list[str] = []
    yield found
    listed = host.sh(
        "find /run /dev/shm -xdev -newercm /root/mark ! -type d -print 2>/dev/null", check=False
    ).splitlines()
    # Of the root directory what the host has written itself: below it lies the machine's own, where
    # others work meanwhile.
    written = host.written
    found += [
        f"/{path.relative_to(written)}"
        for path in _newer(written, host.path("/root/mark").stat().st_mtime)
    ]
    found += [path for path in listed if not path.startswith((*OURS, *HOSTS, PID_FILE))]
    found[:] = [
        path for path in sorted(set(found)) if not path.startswith((*OURS, *HOSTS, PID_FILE))
    ]


def _newer(directory: Path, moment: float) -> Iterator[Path]:
    for top, _, names in os.walk(directory):
        for name in names:
            path = Path(top, name)
            if path.lstat().st_ctime > moment:
                yield path


def typed(host: Host, commands: list[str], within: int = 90) -> dict[str, tuple[int, str]]:
    """Type each command as root on a terminal of its own.

    Return its exit code (124: it hung) and what the terminal got.
    """
    lines = ["export OF_ROOT=secret-of-root PYTHONPATH=/var/lib/warren/one TERM=xterm", "cd /root"]
    for number, command in enumerate(commands):
        inner = shlex.quote(
            f"timeout --foreground -k 5 {4 if ENDLESS.match(command) else within} {command}"
        )
        lines.append(
            f"script -qefc {inner} /root/out.{number} </dev/null >/dev/null 2>&1; echo $? "
            f">/root/rc.{number}"
        )
    host.write("/root/type.sh", "\n".join(lines) + "\n")
    host.run("bash", "/root/type.sh", within=900)
    found = {}
    for number, command in enumerate(commands):
        said = host.path(f"/root/out.{number}").read_text(encoding="utf-8", errors="replace")
        found[command] = int(host.read(f"/root/rc.{number}") or -1), said
    return found


def holds(host: Host, user: str, notes: str, *paths: str, env: str = "") -> None:
    """Starts a process of that user that holds locks on the files."""
    script = "/root/holder.py" if user == "root" else "/srv/jobs/holder.py"
    arguments = f"env {env} /usr/bin/python3 {script} {notes} {' '.join(paths)}"
    arguments = f"setsid runuser -u {user} -- {arguments} </dev/null >/dev/null 2>&1 &"
    host.sh(arguments)
    until(
        lambda: host.run("test", "-e", notes, check=False).returncode == 0,
        60,
        "the holder of the locks",
    )


PLANT = """
set -e
cd /var/lib/warren
mkdir -p one/warren broker/unacked/dead.1.1/etc results
mkdir -p broker/queues broker/rejected broker/incoming broker/temporary
ln -s /etc broker/rejected/etc
ln -s /etc broker/incoming/dead.1.1.0.ff
mkdir -p broker/unacked/dead.1.1/lib; ln -s /usr/local/lib broker/queues/lib
echo /var/lib/warren/evil.so >broker/unacked/dead.1.1/etc/ld.so.preload
echo x >broker/unacked/dead.1.1/lib/libz.so.0
cp /srv/jobs/evil.py one/warren/__init__.py; cp /srv/jobs/evil.py one/warren/__main__.py
mkdir -p /run/warren/heartbeats; chmod 755 /run/warren
mkfifo /run/warren/heartbeats/fifo.json
ln -s /dev/zero /run/warren/heartbeats/zero.json
mkfifo /var/log/warren/fifo.log; mkfifo /var/log/warren/fifo.out
ln -s /dev/zero /var/log/warren/zero.log
ln -s /etc/shadow /var/log/warren/shadow.log
printf '{"at": 1, "pid": 1, "start": 1, "state": "\\033]0;a title\\007", "details": {}}' \\
    >/run/warren/heartbeats/title.json
printf '\\033]0;title by a log\\007\\n' >/var/log/warren/title.log
"""
PLANT_STOPPED = """
set -e
mkdir -p /run/warren/heartbeat
for name in broker status programs; do
    rm -f /run/warren/$name.json; mkfifo /run/warren/$name.json
done
ln -sf /run/victim.pid /run/warren/beat.lock
ln -sf /run/victim.pid /run/warren/worker-main.lock
rm -f /var/lib/warren/run_dir; mkfifo /var/lib/warren/run_dir || true
echo 1 >/run/warren/supervisord.pid
"""


def as_warren(host: Host, script: str) -> None:
    """Runs a script as the suite's user."""
    host.run("setsid", "runuser", "-u", "warren", "--", "sh", "-ec", script)


def judged(suite: Installed, answers: dict[str, tuple[int, str]], changed: list[str]) -> None:
    """What must hold whatever root has typed."""
    host = suite.host
    hung = [
        command
        for command, (code, _) in answers.items()
        if code in (124, 137) and not ENDLESS.match(command)
    ]
    assert not hung, hung
    notes = host.read("/var/lib/warren/notes").splitlines()
    assert not [
        line
        for line in notes
        if "uid=0" in line or "terminal" in line or "typed" in line or "secret-of-root" in line
    ]
    assert not [line for line in notes if "gains=True" in line], notes
    assert host.read("/var/lib/warren/evil") == ""
    assert not host.path("/root/typed").exists()
    assert host.read("/root/victim") == "", "a daemon of root's got a signal"
    titles = [command for command, (_, text) in answers.items() if "\x1b]0;" in text]
    assert not titles, titles
    tracebacks = [(command, text) for command, (_, text) in answers.items() if "Traceback" in text]
    assert not tracebacks, tracebacks
    assert not [path for path in changed if not TYPED.match(path)], changed


def test_every_command_of_the_guides_where_the_suite_is_stopped(attacked: Installed) -> None:
    """Commands that look or ask change nothing outside the suite's directories.

    Nothing of the suite is root's, and nothing hangs.
    """
    host = attacked.host
    attacked.configure(INI)
    host.write("/srv/jobs/evil.py", EVIL)
    host.sh("install -d -o warren -g warren -m 755 /run/warren")
    as_warren(host, PLANT + PLANT_STOPPED)
    holds(host, "root", "/root/victim", "/run/victim.pid")
    holds(
        host,
        "warren",
        "/var/lib/warren/held",
        "/run/warren/supervisord.lock",
        env="PYTHONPATH=/var/lib/warren/one",
    )
    stops = ["warren beat --stop", "warren worker main --stop", "warren worker main --detach"]
    try:
        with changes(host) as changed:
            answers = typed(host, [*(line for line in commands() if not BUSY.search(line)), *stops])
        judged(attacked, answers, changed)
    finally:
        host.sh(
            "pkill -f [/]srv/jobs/holder.py; pkill -f [/]root/holder.py; rm -rf /run/warren",
            check=False,
        )
    assert "imported" in host.read("/var/lib/warren/notes"), (
        "the check imports the module, as the suite's user"
    )


def commands() -> list[str]:
    """Those of the guides, without patience."""
    return [re.sub(r"--wait \S+", "--wait 1", line) for line in documented()]


@pytest.mark.parametrize(
    ("ini", "spoil", "told"),
    [
        (HEAD.replace("/srv/jobs", "/root/shop"), "", "below /srv or /opt"),
        (HEAD.replace("/srv/jobs", "/home/anna/shop"), "", "below /srv or /opt"),
        (
            HEAD + "[broker]\nurl_file = /etc/warren/secrets/url\n",
            "",
            "chown warren /etc/warren/secrets/url",
        ),
        (
            HEAD,
            "chmod 600 /etc/warren/warren.ini",
            "chgrp warren /etc/warren/warren.ini && chmod g+r /etc/warren/warren.ini",
        ),
        (HEAD, "chmod 700 /etc/warren", "chmod o+rx /etc/warren"),
        (HEAD, "chmod 700 /srv/jobs", "chmod o+rx /srv/jobs"),
        (HEAD, "chown root /var/lib/warren", "/var/lib/warren"),
    ],
)
def test_check_as_root_judges_as_the_suite(
    attacked: Installed, ini: str, spoil: str, told: str
) -> None:
    """What the unit could not start with is a problem with a remedy for root.

    This holds though root may read everything.
    """
    host = attacked.host
    host.sh(
        "install -d -m 755 /root/shop /home/anna/shop; cp /srv/jobs/jobs.py /root/shop; cp "
        "/srv/jobs/jobs.py /home/anna/shop;chmod 755 /root; install -m 600 /dev/null "
        "/etc/warren/secrets/url; echo redis://127.0.0.1/0 >/etc/warren/secrets/url"
    )
    attacked.configure(ini)
    try:
        host.sh(spoil or "true")
        done = host.run("warren", "check", check=False, within=120)
    finally:
        host.sh(
            "chmod 644 /etc/warren/warren.ini; chmod 755 /etc/warren /srv/jobs; chown warren "
            "/var/lib/warren; chmod 700 /root"
        )
    assert done.returncode == 78, done.stdout + done.stderr
    assert told in done.stderr
    assert "run this command as root" not in done.stderr


def test_check_as_root_has_the_units_environment(attacked: Installed) -> None:
    """The module has what a drop-in sets, and not what root's shell has.

    It gains no rights and sees no homes.

    Nor may it ask more of the kernel than in the unit: for another execution domain, or for new
    namespaces. No program gives it capabilities.
    """
    host = attacked.host
    module = (
        "import os; assert os.environ['KEY'] == 'a b' and os.environ['OTHER'] == '1' and 'OF_ROOT' "
        "not in os.environ\n"
    )
    module += (
        "assert 'NoNewPrivs:\\t1' in open('/proc/self/status').read() and not "
        "os.access('/home/anna', os.F_OK)\n"
    )
    module += "assert 'CapBnd:\\t0000000000000000' in open('/proc/self/status').read()\n"
    module += (
        "import ctypes; libc = ctypes.CDLL(None); assert libc.personality(8) == "
        "libc.unshare(0x10000000) == -1\n"
    )
    host.write("/srv/jobs/jobs.py", module + MODULE)
    host.write("/etc/default/shop", "OTHER=1\n")
    lines = "[Service]\nEnvironment='KEY=a b'\nEnvironmentFile=/etc/default/shop\n"
    host.write("/etc/systemd/system/warren.service.d/own.conf", lines)
    host.sh("mkdir -p /home/anna; systemctl daemon-reload")
    attacked.configure(HEAD)
    try:
        done = host.run("env", "OF_ROOT=x", "KEY=root", "warren", "check", check=False, within=120)
    finally:
        host.sh("rm -r /etc/systemd/system/warren.service.d; systemctl daemon-reload")
        host.write("/srv/jobs/jobs.py", MODULE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("spoil", "mend", "told"),
    [
        (
            "chown warren /srv/jobs/jobs.py",
            "chown root /srv/jobs/jobs.py",
            "/srv/jobs/jobs.py may be written to by the suite's own user",
        ),
        (
            "chown warren /srv/jobs",
            "chown root /srv/jobs",
            "/srv/jobs may be written to by the suite's own user warren",
        ),
        (
            "chgrp warren /srv/jobs; chmod g+w /srv/jobs",
            "chgrp root /srv/jobs; chmod g-w /srv/jobs",
            "the suite's own user warren",
        ),
        (
            "chmod o+w /srv/jobs/jobs.py",
            "chmod o-w /srv/jobs/jobs.py",
            "/srv/jobs/jobs.py may be written to by everybody",
        ),
    ],
)
def test_check_warns_of_code_that_others_may_write(
    attacked: Installed, spoil: str, mend: str, told: str
) -> None:
    """A task that may change the code can become every other task.

    Root reads of it, with the remedy, and the check passes.
    """
    host = attacked.host
    attacked.configure(HEAD)
    host.sh(spoil)
    try:
        done = host.run("warren", "check", check=False, within=120)
    finally:
        host.sh(mend)
    assert done.returncode == 0, done.stdout + done.stderr
    assert told in done.stdout + done.stderr
    assert "chmod go-w" in done.stdout + done.stderr
    assert "may be written to" not in host.run("warren", "check", within=120).stderr


def test_every_command_of_the_guides_where_the_suite_works(attacked: Installed) -> None:
    """The same, with what starts, stops and reloads it, in the order of the alphabet."""
    host = attacked.host
    attacked.configure(INI)
    attacked.start()
    host.sh("rm -f /root/victim /var/lib/warren/notes")
    plants = (
        "mkdir -p /run/warren/heartbeats; mkfifo /run/warren/heartbeats/x.json; ln -s /dev/zero "
        "/run/warren/heartbeats/z.json"
    )
    as_warren(
        host,
        f"{plants}; ln -s /etc /var/lib/warren/broker/rejected/title; mkfifo "
        "/var/log/warren/x2.log",
    )
    with changes(host) as changed:
        # A daemon without a unit has the environment that it is started with, and may run sudo: by
        # design.
        typical = [line for line in commands() if "--user" not in line]
        answers = typed(host, [*typical, "warren call jobs.title --wait 5", "warren start"])
    judged(attacked, answers, changed)
    assert answers["warren start"][0] == 0, answers["warren start"]
    attacked.stop()
