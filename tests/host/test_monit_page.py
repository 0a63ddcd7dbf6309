"""Monit's page on a booted host: what an operator sees and does there, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from support import mail_sink
from support.browser import browser
from support.host import Host, Network
from support.installed import RABBITMQ, TASKS, WORKER, Installed
from support.wait import TIMEOUT, until

PAGE = "127.0.0.1:2812"
SERVICES = (
    "warren",
    *(
        f"warren-{name}"
        for name in ("worker", "beat", "quota-watchdog", "broker", "queues", "quotas", "disk")
    ),
)
#: A worker, and one for the tasks of a quota, which have a queue of their own.
QUOTA = (
    "[quota:site]\nlimit = 1000/h\ntasks = jobs.nothing\n[queue:site]\ntasks = "
    "jobs.nothing\n[worker:site]\nqueues = site\n"
)
INI = RABBITMQ + WORKER + QUOTA
GREEN, STOPPED, WAITING = "OK green-text", "Not monitored gray-text", "Initializing blue-text"
#: What an administrator would add: a shorter cycle, and whom to tell.
LOCAL = (
    "set daemon 5\nset mailserver 127.0.0.1 port 2525\nset alert ops@example.org not on { "
    "instance, action }\n"
)
#: Prints each mail that comes in.
MAILS = "/srv/mail_sink.py"
#: The rows of the page's tables: name, state, the colour of the state, and what comes behind it: of
#: a command its last line.
ROWS = """
const rows = [...document.querySelectorAll("#header-row tr")].map(row => [...row.cells])
return rows.filter(cells => cells[2]).map(cells => [
    cells[0].innerText, cells[1].innerText,
    cells[1].querySelector("span")?.className ?? "", cells[2].innerText])
"""


@pytest.fixture(scope="module")
def suite(net: Network, package: Path) -> Installed:
    """Yield the suite on a host with RabbitMQ, which comes to a running Monit.

    Monit reports its errors by mail.
    """
    (host,) = net.hosts("watched")
    host.write(MAILS, Path(mail_sink.__file__).read_text(encoding="utf-8"))
    host.run("systemd-run", "--quiet", "--unit=mails", "/usr/bin/python3", MAILS, "2525")
    host.write("/etc/monit/conf.d/local", LOCAL, 0o600)
    host.start("monit")
    made = Installed(host, package, INI)
    host.run("warren", "start")
    return made


@pytest.fixture(scope="module")
def password(suite: Installed) -> str:
    """What root reads in the file that the installation has made."""
    found = re.search(r'allow warren:"(.*)"', suite.host.read("/etc/monit/conf.d/warren-page"))
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def page(suite: Installed, password: str) -> Iterator[Chrome]:
    """A browser that has logged in."""
    with browser(suite.host) as driver:
        until(lambda: answers(password), what="a page")
        driver.get(f"http://warren:{password}@{PAGE}/")
        yield driver


def answers(password: str) -> int:
    try:
        return requests.get(f"http://{PAGE}/", auth=("warren", password), timeout=TIMEOUT).ok
    except requests.ConnectionError:
        return False


def rows(page: Chrome) -> dict[str, tuple[str, str]]:
    """Return what the page shows now of each of Warren's services.

    It is the state with the colour, and the last output of a command.
    """
    page.get(f"http://{PAGE}/")
    return {
        name: (f"{state} {colour}".strip(), said)
        for name, state, colour, said in page.execute_script(ROWS)
        if name in SERVICES
    }


def states(page: Chrome) -> dict[str, str]:
    return {name: state for name, (state, _) in rows(page).items()}


def whole(seen: dict[str, str]) -> dict[str, str]:
    """What a page showed, if it showed all services; nothing of one that was cut off."""
    return seen if seen.keys() == set(SERVICES) else {}


def all_are(page: Chrome, state: str) -> None:
    until(lambda: states(page) == dict.fromkeys(SERVICES, state), what=f"every service {state}")


def all_well(page: Chrome) -> None:
    """Wait until every service is green.

    It must not be green only because its error has not lasted for three cycles yet.
    """

    def well() -> bool:
        seen = rows(page)
        green = seen.keys() == set(SERVICES) and all(state == GREEN for state, _ in seen.values())
        return green and all(
            said.startswith("OK") for name, (_, said) in seen.items() if name != "warren"
        )

    until(well, what="every service well")


def press(page: Chrome, button: str) -> None:
    """Press a button of the suite's own page.

    Press it again when Monit, still at the action before, has not taken it.
    """
    before = states(page)["warren"]

    def pressed() -> bool:
        page.get(f"http://{PAGE}/warren")
        try:
            page.find_element(By.CSS_SELECTOR, f'input[value="{button}"]').click()
        except StaleElementReferenceException:  # the page shows itself again each cycle
            return False
        return states(page).get("warren", before) != before

    until(pressed, what=button)


def attempts(host: Host) -> int:
    """How often Monit has asked systemd to start a suite that was gone."""
    return host.read("/var/log/monit.log").count("'warren' trying to restart")


def given_up(host: Host) -> bool:
    """Has systemd try once more; whether it refuses to."""
    host.run("systemctl", "start", "warren", check=False)
    return "Start request repeated too quickly" in host.journal("warren")


def mails(host: Host) -> list[str]:
    return re.findall(r"Subject: monit alert --  (.*?)'?$", host.journal("mails"), re.MULTILINE)


def watched(host: Host) -> tuple[str, str]:
    """The process that Monit takes for the suite, and when it last looked."""
    said = host.run("monit", "status", "warren").stdout
    pid, at = (
        re.search(rf"^ +{name} +(.*)$", said, re.MULTILINE) for name in ("pid", "data collected")
    )
    return (pid[1] if pid else ""), (at[1] if at else "")


def settled(host: Host) -> list[str]:
    """Return all mails, once two more looks of Monit have brought none.

    What the page shows may still be on its way as a mail.
    """
    seen, looks = mails(host), set[str]()

    def quiet() -> bool:
        nonlocal seen
        if (now := mails(host)) != seen:
            seen = now
            looks.clear()
        looks.add(watched(host)[1])
        return len(looks) > 2

    until(quiet, what="no more mails")
    return seen


def test_a_login_is_needed(suite: Installed, page: Chrome, password: str) -> None:
    """No user sees the page without the password.

    A form of another page presses no button for a user who has logged in.
    """
    url, user = f"http://{PAGE}/warren", ("warren", password)
    assert requests.get(url, timeout=TIMEOUT).status_code == 401
    assert requests.get(url, auth=("warren", password[:-1]), timeout=TIMEOUT).status_code == 401
    assert requests.get(url, auth=user, timeout=TIMEOUT).status_code == 200
    assert requests.post(url, {"action": "stop"}, auth=user, timeout=TIMEOUT).status_code == 403
    assert suite.host.show("warren", "ActiveState") == "active"
    assert suite.host.path("/etc/monit/conf.d/warren-page").stat().st_mode & 0o777 == 0o600


def test_every_service_is_seen(page: Chrome) -> None:
    """A suite that is well is green: supervisord, each daemon, broker, queues, quotas, disk."""
    all_well(page)


def test_the_buttons(suite: Installed, page: Chrome) -> None:
    """Stop and start of the page are those of systemd.

    A suite stopped on purpose is neither red nor told to anybody.
    """
    all_well(page)
    before = settled(suite.host)
    press(page, "Stop service")
    all_are(page, STOPPED)
    assert suite.host.show("warren", "ActiveState") == "inactive"
    press(page, "Start service")
    all_well(page)
    assert suite.host.show("warren", "ActiveState") == "active"
    assert mails(suite.host) == before


def test_a_broken_daemon_is_red(suite: Installed, page: Chrome) -> None:
    """A worker that cannot start turns its service red, reported once, and no other.

    It is green again after its repair.

    That it is backing off is said with one word, wherever somebody looks.
    """
    all_well(page)
    before = settled(suite.host)
    suite.host.write("/srv/jobs/jobs.py", "import os\nos._exit(1)\n")
    try:
        suite.host.run("kill", "-9", str(suite.pid("worker-main")))
        red = dict.fromkeys(SERVICES, GREEN) | {"warren-worker": "Status failed red-text"}
        until(lambda: states(page) == red, what="the worker alone in red")
        until(
            lambda: "worker-main is backing off: " in rows(page)["warren-worker"][1],
            what="the reason on the page",
        )
        assert (
            "backing off: worker-main ("
            in suite.host.run("systemctl", "status", "--no-pager", "warren", check=False).stdout
        )
        assert (
            "worker-main is backing off: " in suite.host.run("warren", "status", check=False).stdout
        )
        assert (
            "worker-main is backing off: " in suite.host.run("warren", "health", check=False).stdout
        )
    finally:
        suite.host.write("/srv/jobs/jobs.py", TASKS)
    suite.host.run("warren", "restart")
    all_well(page)
    assert mails(suite.host)[len(before) :] == ["Status failed warren-worker"]


def test_a_broker_that_is_away(suite: Installed, page: Chrome) -> None:
    """Its service turns red, with the reason where the page does not cut it off.

    Queues, unknown now, are not green.
    """
    all_well(page)
    suite.host.run("systemctl", "stop", "rabbitmq-server", within=120)
    try:
        until(lambda: "red-text" in states(page)["warren-broker"], 120, "the broker in red")
        until(lambda: states(page)["warren-queues"] != GREEN, 120, "queues that are not green")

        def reason() -> object:  # while it ends, connections are reset
            return re.match(
                r"CRITICAL: broker away: .*([Rr]efused|answer)", rows(page)["warren-broker"][1][:42]
            )

        until(reason, what="the reason")
    finally:
        suite.host.run("systemctl", "start", "rabbitmq-server", within=120)
    all_well(page)


def test_a_suite_that_cannot_start(suite: Installed, page: Chrome) -> None:
    """It ends in one red service, of which the others wait, and a failed unit.

    However often it is tried, it is told once.
    """
    all_well(page)
    before, asked = settled(suite.host), attempts(suite.host)
    suite.configure(INI + "[worker:wrong]\nqueues = nowhere\nconcurency = 1\n")
    try:
        suite.host.run("kill", "-9", str(suite.supervisord()))
        until(lambda: attempts(suite.host) >= asked + 3, what="three attempts of Monit")
        until(lambda: given_up(suite.host), what="the last start that systemd allows")
        tried = attempts(suite.host)
        until(
            lambda: attempts(suite.host) >= tried + 2, what="attempts of Monit that systemd refuses"
        )
        seen = until(lambda: whole(states(page)), what="a page of all services")
        assert "Does not exist" in seen.pop("warren")
        assert set(seen.values()) == {WAITING}
        assert suite.host.show("warren", "ActiveState") == "failed"
        assert mails(suite.host)[len(before) :] == [
            "Does not exist warren",
            "Execution failed warren",
        ]
        refused = suite.host.run("warren", "start", check=False)
        assert refused.returncode == 78
        assert "warren.ini:" in refused.stderr
    finally:
        suite.configure(INI)
        suite.host.run("warren", "start")
    all_well(page)


def test_systemd_and_monit_do_not_fight(suite: Installed, page: Chrome) -> None:
    """`warren stop` is not reported, and `systemctl stop` is.

    Monit does not start what an operator has stopped.

    Whoever starts the suite has Monit watch it.
    """
    all_well(page)
    host = suite.host
    before = settled(host)
    assert host.run("warren", "stop", "--json").stdout.startswith('{"action": "stop", "done": true')
    all_are(page, STOPPED)
    host.run("systemctl", "start", "warren")
    all_well(page)
    assert mails(host) == before
    asked = attempts(host)
    host.run("systemctl", "stop", "warren")
    until(lambda: attempts(host) >= asked + 2, what="two attempts of Monit")
    assert host.show("warren", "ActiveState") == "inactive"
    host.run("systemctl", "start", "warren")
    all_well(page)


#: As a task would: until it is told to end, it keeps another process's number in whatever file it
#: may write to.
SPOIL = """
until [ -e /var/lib/warren/enough ]; do
    for file in /run/warren.pid /run/warren/*.pid; do echo 1 2>/dev/null >"$file"; done
    sleep 0.02
done
"""


def test_a_task_cannot_choose_whom_monit_watches(suite: Installed, page: Chrome) -> None:
    """Whatever is written into pid files, Monit watches the process that systemd knows.

    It watches its successor, too.
    """
    all_well(page)
    host, main = suite.host, str(suite.supervisord())
    assert watched(host)[0] == main
    host.sh("rm -f /var/lib/warren/enough")
    host.run("systemd-run", "--quiet", "--unit=spoil", "--uid=warren", "sh", "-c", SPOIL)
    try:
        until(
            lambda: host.read("/run/warren/supervisord.pid") == "1\n", what="a pid file of a task"
        )
        seen = [watched(host)]

        def looked_twice() -> bool:
            seen.append(watched(host))
            return len({at for _, at in seen}) > 2

        until(looked_twice, what="two more looks of Monit")
        assert {pid for pid, _ in seen} == {main}
        assert host.path("/run/warren.pid").stat().st_uid == 0
        host.run("kill", "-9", main)
        until(lambda: suite.supervisord() not in (0, int(main)), what="another supervisord")
        until(
            lambda: watched(host)[0] == str(suite.supervisord()),
            what="Monit at the other supervisord",
        )
    finally:
        host.sh("touch /var/lib/warren/enough")
        until(lambda: host.show("spoil", "ActiveState") == "inactive", what="an end of the task")
    all_well(page)
    host.run("warren", "stop")
    assert not host.path("/run/warren.pid").exists()
    host.run("warren", "start")
    all_well(page)


def test_monit_is_killed(suite: Installed, page: Chrome, password: str) -> None:
    """systemd starts it again, once.

    The suite continues untouched, with no second supervisord, and nobody is told.
    """
    all_well(page)
    host = suite.host
    before, asked = settled(host), attempts(host)
    processes = {
        program: suite.pid(program)
        for program in ("worker-main", "worker-site", "beat", "quota-watchdog")
    }
    supervisord = suite.supervisord()
    old = host.show("monit", "MainPID")
    assert old != "0"
    host.run("kill", "-9", old)
    until(lambda: host.show("monit", "MainPID") not in ("0", old), what="another Monit")
    until(lambda: answers(password), what="its page")
    all_well(page)
    assert {program: suite.pid(program) for program in processes} == processes
    assert suite.supervisord() == supervisord
    assert [
        pid
        for pid, arguments in suite.processes().items()
        if arguments.endswith("warren supervise")
    ] == [supervisord]
    assert host.show("monit", "ActiveState") == "active"
    assert host.show("monit", "NRestarts") == "1"
    assert attempts(host) == asked
    assert mails(host) == before
