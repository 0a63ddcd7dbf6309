"""monit/: the services that Monit shows, and its page. Read by the real Monit, from copies."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.servers import missing, process
from support.suite import WARREN
from support.wait import run_to_end, until
from warren.health.finding import CHECKS

ROOT = Path(__file__).parents[2]
SERVICES = (ROOT / "monit" / "warren").read_text(encoding="utf-8")
PAGE_PASSWORD = ROOT / "monit" / "page-password"


@pytest.fixture
def monit(tmp_path: Path) -> Path:
    """Return a directory as /etc/monit is on Debian, with the services of Warren.

    The commands that they name are this tree's.
    """
    directory = tmp_path / "monit"
    (directory / "conf.d").mkdir(parents=True)
    directory.chmod(0o700)
    places = "".join(f"set {name}file {directory}/{name}\n" for name in ("id", "state", "pid"))
    (directory / "monitrc").write_text(
        f"set daemon 120\n{places}include {directory}/conf.d/*\n", encoding="utf-8"
    )
    (directory / "monitrc").chmod(0o600)
    services = SERVICES.replace("/usr/bin/warren", str(WARREN)).replace(
        "as uid warren and gid warren", ""
    )
    (directory / "conf.d" / "warren").write_text(services, encoding="utf-8")
    return directory


def read_by_monit(directory: Path, *arguments: str) -> str:
    """What Monit says of such a directory; fails when Monit refuses it."""
    if shutil.which("monit") is None:
        missing("monit")
    arguments = ("monit", "-c", str(directory / "monitrc"), *arguments, "-t")
    done = run_to_end(arguments, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def set_up(directory: Path) -> str:
    return run_to_end([str(PAGE_PASSWORD), str(directory)], check=True, capture_output=True).stdout


def test_monit_reads_the_services(monit: Path) -> None:
    """The shipped file is right, and leaves Monit's cycle and page to the administrator."""
    said = read_by_monit(monit, "-v")
    assert re.findall(r"^(?:Process|Program) Name +=\s(.*)$", said, re.MULTILINE) == [
        "warren",
        *(f"warren-{name}" for name in CHECKS if name != "supervisord"),
    ]
    assert "Poll time          = 120 seconds" in said
    assert "Start monit httpd  = True" not in said


def test_monit_refuses_what_is_wrong(monit: Path) -> None:
    """The test would notice if Monit read nothing."""
    with (monit / "conf.d" / "warren").open("a", encoding="utf-8") as file:
        file.write("check proces typo\n")
    with pytest.raises(AssertionError, match="syntax error"):
        read_by_monit(monit)


def test_every_service_is_in_the_guide() -> None:
    """docs/operate.md has each service of the file, and no other."""
    guide = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`warren[^|]*) \|", guide, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(.*?)`", row)]
    assert named == re.findall(r"^check (?:process|program) (\S+)", SERVICES, re.MULTILINE)


def test_every_check_is_shown() -> None:
    """Monit asks for each check of `warren health` but supervisord's.

    It watches supervisord's process itself.
    """
    assert set(re.findall(r"/usr/bin/warren health ([\w-]+)", SERVICES)) == set(CHECKS) - {
        "supervisord"
    }


def test_last_error_has_one_cause() -> None:
    """Each service waits while the suite itself is down, so that one cause makes one alert."""
    blocks = re.split(r"^check program ", SERVICES, flags=re.MULTILINE)[1:]
    assert len(blocks) == 8
    assert all(
        "depends on warren\n" in block and "if status != 0 for 3 cycles then alert\n" in block
        for block in blocks
    )


@pytest.mark.parametrize(
    ("verb", "limit"), [("start", "TimeoutStartSec"), ("stop", "TimeoutStopSec")]
)
def test_timeouts_nest(verb: str, limit: str) -> None:
    """Monit waits for longer than systemd does: what it calls failed has failed."""
    unit = (ROOT / "systemd" / "warren.service").read_text(encoding="utf-8")
    (minutes,) = re.findall(rf"^{limit}=(\d+)min$", unit, re.MULTILINE)
    (seconds,) = re.findall(
        rf"^    {verb} program = .* with timeout (\d+) seconds$", SERVICES, re.MULTILINE
    )
    assert int(seconds) > 60 * int(minutes)


@contextmanager
def at_work(directory: Path) -> Iterator[Callable[..., str]]:
    """A Monit that runs on the directory, and what asks it; it ends in order."""
    arguments = ["monit", "-c", str(directory / "monitrc")]

    def ask(*question: str) -> str:
        return run_to_end([*arguments, *question], capture_output=True).stdout

    with process([*arguments, "-I"], directory / "out"):
        until(lambda: " warren-disk " in ask("summary", "-B"), what="Monit to answer")
        yield ask


def watched(ask: Callable[..., str]) -> set[str]:
    """The services of Warren that Monit watches."""
    rows = [line.split() for line in ask("summary", "-B").splitlines()]
    return {
        row[0]
        for row in rows
        if row and row[0].startswith("warren") and "Not monitored" not in " ".join(row)
    }


def test_a_stop_on_purpose_outlives_monit(monit: Path) -> None:
    """What Monit was told not to watch stays so when Monit starts again.

    This holds also where it finds another time of the host's boot.
    """
    if shutil.which("monit") is None:
        missing("monit")
    with (monit / "monitrc").open("a", encoding="utf-8") as file:
        file.write(f'set httpd unixsocket {monit}/socket allow user:"secret"\n')
    with at_work(monit) as ask:
        assert len(watched(ask)) == 9
        ask("-g", "warren", "unmonitor")
        until(lambda: not watched(ask), what="Monit to look away")
    state = (monit / "state").read_bytes()
    # Two numbers of four bytes, then the second of the boot in eight; the time that Monit 5.33
    # computes differs by one at times.
    booted = int.from_bytes(state[8:16], sys.byteorder)
    (monit / "state").write_bytes(state[:8] + (booted - 60).to_bytes(8, sys.byteorder) + state[16:])
    with at_work(monit) as ask:
        assert watched(ask) == set()


def test_the_pid_file_is_roots() -> None:
    """Monit watches the process that systemd knows, by a file that the suite cannot write.

    The file is outside its user's directories.

    The unit writes it as root before Monit is told to look, and removes it as root behind the end.
    """
    (path,) = re.findall(r"^check process warren with pidfile (\S+)$", SERVICES, re.MULTILINE)
    unit = (ROOT / "systemd" / "warren.service").read_text(encoding="utf-8")
    assert Path(path).parent == Path("/run")
    written, told = re.findall(r"^ExecStartPost=-\+(.*)$", unit, re.MULTILINE)
    assert f'echo "$$MAINPID" >{path}.new && mv -f {path}.new {path}' in written
    assert "monit" in told
    assert f"\nExecStopPost=-+/bin/rm -f {path} {path}.new\n" in unit


def test_a_boot_has_the_suite_watched() -> None:
    """Each service keeps over a boot that it was not to be watched.

    So the unit tells Monit, which has to run by then.
    """
    services = re.findall(
        r"^check .*\n(?:        as .*\n)?    group warren\n(.*)$", SERVICES, re.MULTILINE
    )
    assert services == ["    onreboot laststate"] * 9
    unit = (ROOT / "systemd" / "warren.service").read_text(encoding="utf-8")
    assert re.search(r"^ExecStartPost=-\+.*\bmonit -g warren monitor\b", unit, re.MULTILINE)
    assert "\nBefore=warren.service\n" in (ROOT / "monit" / "drop-in.conf").read_text(
        encoding="utf-8"
    )


def test_a_start_without_monit_is_no_failure(tmp_path: Path) -> None:
    """Where Monit does not run, `systemctl status` shows no failed ExecStartPost.

    This holds after a good start, also where Monit is not installed.
    """
    unit = (ROOT / "systemd" / "warren.service").read_text(encoding="utf-8")
    (line,) = re.findall(r"^ExecStartPost=-\+(.*\bmonit\b.*)$", unit, re.MULTILINE)
    told = tmp_path / "told"

    def code() -> int:
        return run_to_end(shlex.split(line), env={"PATH": str(tmp_path)}).returncode

    (tmp_path / "timeout").symlink_to("/bin/timeout")
    stand_in = tmp_path / "monit"
    stand_in.write_text(f'#!/bin/sh\necho "$@" >> {told}\nexit 1\n', encoding="utf-8")
    stand_in.chmod(0o755)
    assert (code(), told.read_text(encoding="utf-8")) == (0, "-g warren monitor\n")
    stand_in.unlink()
    assert code() == 0


@pytest.fixture
def opened(monit: Path) -> Path:
    """The same directory with the page."""
    said = set_up(monit)
    assert said == f"Monit's page: user warren, password in {monit}/conf.d/warren-page\n"
    return monit


def test_the_page_is_for_this_host_and_one_user(opened: Path) -> None:
    """Monit opens it on 127.0.0.1 and asks for the password.

    Only the owner of the file can read the password.
    """
    said = read_by_monit(opened, "-v")
    assert "httpd bind address = 127.0.0.1" in said
    assert "httpd auth. style  = Basic Authentication and Host/Net allow list" in said
    page = opened / "conf.d" / "warren-page"
    assert page.stat().st_mode & 0o777 == 0o600
    assert re.search(r'allow warren:"[\w-]{32}"\n', page.read_text(encoding="utf-8"))
    assert sorted(path.name for path in page.parent.iterdir()) == ["warren", "warren-page"]


def test_a_password_is_made_once(opened: Path, tmp_path: Path) -> None:
    """An upgrade keeps it; another host has another one."""
    before = (opened / "conf.d" / "warren-page").read_text(encoding="utf-8")
    set_up(opened)
    assert (opened / "conf.d" / "warren-page").read_text(encoding="utf-8") == before
    set_up(tmp_path / "other")
    assert (tmp_path / "other" / "conf.d" / "warren-page").read_text(encoding="utf-8") != before


@pytest.mark.parametrize("place", ["monitrc", "conf.d/local", "conf-enabled/page"])
def test_a_page_of_the_administrator_stays(monit: Path, place: str) -> None:
    """A host whose page is set up already gets no second one.

    The installation prints where the first one is.
    """
    (monit / "conf-enabled").mkdir()
    with (monit / place).open("a", encoding="utf-8") as file:
        file.write(" SET HTTPD port 2812\n  allow localhost\n")
    assert set_up(monit) == f"Monit's page: left as it is set up in {monit / place}\n"
    assert not (monit / "conf.d" / "warren-page").exists()


def test_a_comment_is_no_page(monit: Path) -> None:
    """Debian's monitrc names the statement in a comment."""
    with (monit / "monitrc").open("a", encoding="utf-8") as file:
        file.write("# set httpd port 2812 and\n")
    assert "user warren" in set_up(monit)
