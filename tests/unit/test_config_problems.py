"""What `load` refuses, and how it says so: one line for each problem, all of them at once."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warren.config import Settings, load
from warren.config.settings import KINDS
from warren.errors import ConfigError, ExitCode, Problem

Written = Callable[..., Path]
Loaded = Callable[..., Settings]
Refused = Callable[..., list[Problem]]

#: A text of warren.ini and the one line, without its file, that it is refused with; `...` stands
#: for what follows.
BAD = [
    # names
    (
        "[wroker:a]",
        "1: [wroker:a]: expected a known section, found [wroker:a]; did you mean worker?",
    ),
    ("[zzz]", "1: [zzz]: expected a known section, found [zzz]; known are app, beat, broker, ..."),
    ("[DEFAULT]", "1: [DEFAULT]: expected a known section, ..."),
    ("[worker]", "1: [worker]: expected [worker:NAME], found [worker]; give it a name"),
    ("[log:x]", "1: [log:x]: expected [log], found [log:x]; it has no name"),
    (
        "[worker:bad name!]",
        "1: [worker:bad name!]: expected a name of letters, digits, ..., found 'bad name!'",
    ),
    ("[worker:]", "1: [worker:]: expected a name of ..., found nothing"),
    ("[quota:../up]\nlimit = 1/s", "1: [quota:../up]: expected a name of ..., found '../up'"),
    (
        "[queue:amq.x]",
        "1: [queue:amq.x]: expected a name of your own, found one that begins with amq., ...",
    ),
    (
        "[log]\nlevl = info",
        "2: [log]: expected an option of [log], found 'levl'; did you mean level?",
    ),
    (
        "[worker:a]\nx = 1",
        "2: [worker:a]: expected an option of [worker:NAME], found 'x'; known are concurrency, ...",
    ),
    # values
    (
        "[log]\nlevel = loud",
        "2: [log] level: expected one of debug, info, warning, error, critical, found 'loud'",
    ),
    (
        "[app]\ntimezone = Mars/Base",
        "2: [app] timezone: expected a time zone such as UTC or Europe/Berlin, found 'Mars/Base'",
    ),
    (
        "[app]\nstate_dir = var",
        "2: [app] state_dir: expected an absolute path such as /var/lib/warren, found 'var'",
    ),
    (
        "[app]\nlog_dir =",
        "2: [app] log_dir: expected an absolute path such as /var/lib/warren, found nothing",
    ),
    (
        "[app]\nstate_dir = /dev/null/x",
        "2: [app] state_dir: expected a directory, found /dev/null, which is none",
    ),
    (
        "[app]\npath = /nowhere/at/all",
        (
            "2: [app] path: expected a directory that holds the modules, found nothing at "
            "/nowhere/at/all"
        ),
    ),
    (
        f"[app]\nrun_dir = /{'r' * 100}",
        "2: [app] run_dir: expected a directory so short that ... 99 bytes, found 117 bytes",
    ),
    (
        "[app]\nname = a\n  level = b",
        (
            "2: [app] name: ..., found 'a\\nlevel = b'; a line that begins with white space "
            "continues ..."
        ),
    ),
    (
        "[worker:a]\nconcurrency = 0",
        "2: [worker:a] concurrency: expected a whole number from 1 to 1024, found '0'",
    ),
    ("[worker:a]\nqueues =", "2: [worker:a] queues: expected at least one queue, found none"),
    (
        "[quota:q]\nlimit = 1000/fortnight",
        "2: [quota:q] limit: expected a rate such as 1000/h (units ...), found '1000/fortnight'",
    ),
    (
        "\n[quota:q]\ncost = 1",
        (
            "2: [quota:q] limit: expected this option, found it nowhere; add limit = ... (The most "
            "calls ..."
        ),
    ),
    (
        "[quota:q]\nlimit = 5/s\ncost = 6",
        "3: [quota:q] cost: expected at most the 5 calls of limit = 5/s, found 6; ...",
    ),
    (
        "[broker]\nurl = http://h",
        (
            "2: [broker] url: expected a URL that begins with amqp://, ..., found one that begins "
            "with http://"
        ),
    ),
    (
        "[broker]\nurl = localhost",
        "2: [broker] url: expected a URL that begins with ..., found a text that is no URL",
    ),
    (
        "[broker]\nurl = amqp://h:port",
        "2: [broker] url: ..., found a URL whose host or port cannot be read; ...",
    ),
    (
        "[broker]\nurl = amqp://a;redis://b",
        "2: [broker] url: expected alternative URLs of the same kind, found different ones",
    ),
    (
        "[results]\nurl = amqp://h",
        (
            "2: [results] url: expected a URL that begins with redis://, ..., found one that "
            "begins with amqp://"
        ),
    ),
    # between sections
    (
        "[worker:a]\nqueues = crawl",
        (
            "2: [worker:a] queues: expected a declared queue, found 'crawl'; add a section "
            "[queue:crawl]"
        ),
    ),
    (
        "[worker:a]\nqueues = defalt",
        (
            "2: [worker:a] queues: expected a declared queue, found 'defalt'; did you mean "
            "default? ..."
        ),
    ),
    (
        "[worker:a]\ntime_limit = 60s\nsoft_time_limit = 1m",
        "3: [worker:a] soft_time_limit: expected less than time_limit, which is 1m, found 1m",
    ),
    (
        "[health]\nqueue_warning = 2000000",
        (
            "2: [health] queue_warning: expected at most queue_critical, which is 1000000, found "
            "2000000; set queue_critical, too"
        ),
    ),
    (
        "[health]\nqueue_critical = 10",
        (
            "2: [health] queue_critical: expected at least queue_warning, which is 100000, found "
            "10; ..."
        ),
    ),
    (
        "[health]\ndisk_critical = 20",
        "2: [health] disk_critical: expected at most disk_warning, which is 10, found 20; ...",
    ),
    (
        "[health]\ndisk_warning = 3",
        "2: [health] disk_warning: expected at least disk_critical, which is 5, found 3; ...",
    ),
    # what the value as written shows
    (
        "[log]\nlevel = info # more",
        "2: [log] level: ..., found 'info # more'; a comment needs a line of its own",
    ),
    (
        "[worker:a]\nqueues = default ; all",
        "2: [worker:a] queues: ...; a comment needs a line of its own",
    ),
    (
        "[app]\npath = /nowhere # mine",
        "2: [app] path: ..., found nothing at /nowhere # mine; a comment needs a line of its own",
    ),
    (
        "[worker:a]\nqueues = default pages",
        "2: [worker:a] queues: ..., found 'default pages'; separate names by commas",
    ),
    (
        "[queue:a]\ntasks = shop.a shop.b",
        "2: [queue:a] tasks: ..., found 'shop.a shop.b'; separate names by commas",
    ),
    (
        "[app]\nmodules = shop.a shop.b",
        "2: [app] modules: ..., found 'shop.a shop.b'; separate names by commas",
    ),
    # queues that nobody consumes
    (
        "[queue:q]\n[worker:a]",
        (
            "1: [queue:q]: expected a worker that consumes it, found none; add q to the queues of "
            "[worker:a]"
        ),
    ),
    (
        "[worker:a]\n[worker:b]\n[worker:c]\nqueues = q\nenabled = no\n[queue:q]",
        (
            "6: [queue:q]: expected a worker that consumes it, found none; add q to queues of one "
            "of [worker:a], [worker:b]"
        ),
    ),
    ("[schedule:s]\ntask = t", "1: [schedule:s]: expected one of every and cron, found neither"),
    (
        "[schedule:s]\ntask = t\nevery = 5s\ncron = * * * * *",
        "4: [schedule:s] cron: expected one of every and cron, found both",
    ),
    (
        "[schedule:s]\ntask = t\ncron = hourly",
        "3: [schedule:s] cron: expected a cron expression such as ..., found 'hourly'",
    ),
    (
        "[schedule:s]\nevery = 5s",
        "1: [schedule:s] task: expected this option, found it nowhere; add task = ... (Name of the "
        "task.)",
    ),
    (
        "[schedule:s]\ntask = t\nevery = 5s\nqueue = q",
        "4: [schedule:s] queue: expected a declared queue, found 'q'; ...",
    ),
    (
        "[schedule:s]\ntask = t\nevery = 5s\nargs = {}",
        "4: [schedule:s] args: expected a JSON list ..., found a JSON object",
    ),
    (
        "[queue:a]\ntasks = t\n[queue:b]\ntasks = t",
        (
            "4: [queue:b] tasks: expected each task in one queue, found 't' here and 't' in "
            "[queue:a] (...warren.ini:2); ..."
        ),
    ),
    (
        "[queue:a]\ntasks = shop.*\n[queue:b]\ntasks = *.mail",
        (
            "4: [queue:b] tasks: expected each task in one queue, found '*.mail' here and 'shop.*' "
            "in [queue:a] ..."
        ),
    ),
    (
        "[quota:q]\nlimit = 9/s\ntasks = t",
        "3: [quota:q] tasks: expected a queue of their own for these tasks, found 't' in queue "
        "default, ...; add [queue:q] with tasks = t, and q to a worker's queues",
    ),
    (
        "[quota:q]\nlimit = 9/s\ntasks = shop.*\n[queue:q]\ntasks = shop.a, shop.b",
        (
            "3: [quota:q] tasks: ..., found 'shop.*' in queue default, ...; add shop.* to "
            "[queue:q] tasks"
        ),
    ),
    (
        "[quota:q]\nlimit = 9/s\ntasks = t\n[queue:q]\ntasks = t, u",
        (
            "3: [quota:q] tasks: ..., found queue q, which takes 'u' as well; add a [queue:...] "
            "with tasks = u, ..."
        ),
    ),
    (
        "[quota:q]\nlimit = 9/s\ntasks = shop.a\n[queue:q]\ntasks = shop.*",
        "3: [quota:q] tasks: ..., found queue q, which takes 'shop.*' as well; ...",
    ),
    (
        (
            "[quota:p]\nlimit = 9/s\ntasks = t\n[quota:q]\nlimit = 9/s\ntasks = t, "
            "u\n[queue:q]\ntasks = t, u"
        ),
        "3: [quota:p] tasks: ..., found queue q, which takes 'u' as well; ...",
    ),
    (
        (
            "[quota:q]\nlimit = 9/s\ntasks = t\n[queue:q]\ntasks = t\n[schedule:s]\ntask = "
            "t\nevery = 5s\nqueue = default"
        ),
        (
            "9: [schedule:s] queue: expected a queue of tasks under the same quotas as t (q), "
            "found 'default', ..."
        ),
    ),
    (
        (
            "[quota:q]\nlimit = 9/s\ntasks = t\n[queue:q]\ntasks = t\n[schedule:s]\ntask = "
            "u\nevery = 5s\nqueue = q"
        ),
        (
            "9: [schedule:s] queue: expected a queue of tasks under the same quotas as u (none), "
            "found 'q', ..."
        ),
    ),
    # [celery]
    (
        "[celery]\nresult_compresion = gzip",
        "2: [celery] result_compresion: ...; did you mean result_compression?",
    ),
    (
        "[celery]\nworker_concurency = 3",
        "2: [celery] worker_concurency: ...; set [worker:NAME] concurrency",
    ),
    (
        "[celery]\ntask_track_started = perhaps",
        "2: [celery] task_track_started: expected true or false, found 'perhaps'",
    ),
    (
        "[celery]\nresult_cache_max = many",
        "2: [celery] result_cache_max: expected a number, found 'many'",
    ),
    (
        "[celery]\nbroker_transport_options = 3",
        "2: [celery] broker_transport_options: expected a JSON object ...",
    ),
    (
        "[celery]\naccept_content = json, pickle",
        '2: [celery] accept_content: expected ["json"] and nothing else, ...; ... pickle ...',
    ),
    (
        "[celery]\ntask_serializer = pickle",
        "2: [celery] task_serializer: expected \"json\" and nothing else, found 'pickle'; ...",
    ),
    (
        "[celery]\ntask_acks_late = no",
        "2: [celery] task_acks_late: expected true and nothing else, found 'no'; ...",
    ),
    (
        "[celery]\nworker_hijack_root_logger = true",
        "2: [celery] worker_hijack_root_logger: expected false ...",
    ),
    (
        "[celery]\nbroker_url = amqp://",
        (
            "2: [celery] broker_url: expected no such setting here, found it; set [broker] url, or "
            "url_file"
        ),
    ),
    (
        "[celery]\nresult_backend = rpc://",
        "2: [celery] result_backend: ...; set [results] url, or url_file",
    ),
    (
        "[celery]\ntask_queues = []",
        "2: [celery] task_queues: ...; set [queue:NAME] tasks and binding_key",
    ),
    (
        "[celery]\ntask_routes = {}",
        "2: [celery] task_routes: ...; set [queue:NAME] tasks and binding_key",
    ),
]

GOOD = [
    "[quota:p]\nlimit = 9/s\ntasks = t\n[quota:q]\nlimit = 9/s\ntasks = t\n[queue:q]\ntasks = t",
    "[quota:q]\nlimit = 9/s\ntasks = shop.*\n[queue:a]\ntasks = shop.*\n[queue:b]\ntasks = shop.x",
    "[quota:q]\nlimit = 9/s\ntasks = shop.x\n[queue:a]\ntasks = shop.*\n[queue:b]\ntasks = shop.x",
    "[quota:q]\nlimit = 9/s\n[queue:default]\ntasks = t",
    "[queue:a]\ntasks = shop.*\n[queue:b]\ntasks = shop.x, mail.*",
    "[schedule:s]\ntask = t\nevery = 5s\nqueue = default\ncron =",
    (
        "[celery]\nbroker_pool_limit = null\ntask_track_started = yes\nresult_compression = "
        "gzip\ntask_acks_late = true"
    ),
    (
        '[celery]\nbroker_use_ssl = {"ca_certs": "/etc/ssl/ca.pem"}\ntask_annotations = {"*": '
        '{"max_retries": 2}}'
    ),
    "[broker]\nurl = amqp://a;amqp://b",
    "[log]\nLEVEL = DEBUG",
    "[queue:q]\n[worker:a]\nenabled = no",
    "[queue:q]\n[beat]\nenabled = yes",
    "[broker]\nurl = redis://h\n[queue:q]\n[worker:a]",
    "[queue:q]\n[worker:a]\nqueues = q",
]


def agrees(line: str, pattern: str) -> bool:
    """Return whether the line holds the parts of the pattern between its `...`, in order.

    The first part stands at its beginning.
    """
    return re.fullmatch(".*".join(map(re.escape, pattern.split("..."))), line) is not None


@pytest.mark.parametrize(("text", "pattern"), BAD, ids=lambda each: each[:50])
def test_bad_input(refused: Refused, etc: Written, text: str, pattern: str) -> None:
    """Each mistake gets one line: where, what was expected, what was found, what to do."""
    (problem,) = refused(text)
    line = str(problem).removeprefix(f"{etc()}/warren.ini:")
    assert agrees(line, pattern), line


@pytest.mark.parametrize("text", GOOD)
def test_good_input(loaded: Loaded, text: str) -> None:
    """What only looks like a mistake is taken."""
    assert loaded(text).host == "here"


def test_all_problems_at_once(refused: Refused) -> None:
    """Mistakes of all kinds in several files come together, in the order of reading."""
    problems = refused(
        "no header\n[log]\nlevel = loud\nlevel = info\n[worker:a]\nqueues = "
        "x\n[quota:q]\ntasks = t\n[nonsense]\n",
        {
            "conf.d/a.ini": "[schedule:s]\ntask = t\n",
            "hosts/here.ini": "[beat]\nenabled = perhaps\nenalbed = no\n",
        },
    )
    places = [
        (problem.origin.file and problem.origin.file.name, problem.origin.line)
        for problem in problems
    ]
    expected = [("warren.ini", line) for line in (1, 4, 6, 7, 9)]
    assert places == [*expected, ("a.ini", 1), ("here.ini", 2), ("here.ini", 3)]


def test_problem_of_an_overridden_value(refused: Refused) -> None:
    """A value is judged where it stands last.

    A problem points to the host's file when that file decided.
    """
    (problem,) = refused("[log]\nlevel = info", {"hosts/here.ini": "[log]\nlevel = loud"})
    assert problem.origin.file is not None
    assert problem.origin.file.name == "here.ini"


def test_no_consequences_of_a_broken_section(refused: Refused) -> None:
    """A mistake in a queue's section is one problem; its worker and its quota have none."""
    (problem,) = refused(
        "[queue:q]\ntaks = t\n[worker:a]\nqueues = q\n[quota:q]\nlimit = 1/s\ntasks = t"
    )
    assert problem.found == "'taks'"
    (problem,) = refused("[broker]\nurl = nowhere\n[queue:far]\n[worker:a]\n")
    assert problem.option == "url"


def test_missing_directory(tmp_path: Path) -> None:
    """A missing configuration directory ends with the exit code for a wrong configuration."""
    with pytest.raises(
        ConfigError, match=r"expected a directory with the file warren\.ini, found nothing there"
    ) as caught:
        load(tmp_path / "none", "here")
    assert caught.value.exit_code == ExitCode.CONFIG


def test_missing_file(tmp_path: Path) -> None:
    """A configuration directory without warren.ini is an error, although all has defaults."""
    with pytest.raises(
        ConfigError, match=r"warren\.ini: expected a file that can be read, found No such file"
    ):
        load(tmp_path, "here")


def test_host_is_no_path(etc: Written) -> None:
    """A host name cannot lead to a file outside the directory."""
    with pytest.raises(ConfigError, match=r"host: expected a name of .*, found '\.\./x'"):
        load(etc(), "../x")


def test_passwords_are_in_no_message(refused: Refused) -> None:
    """Wherever a URL with a password is wrong, no message quotes it."""
    problems = refused(
        "[broker]\nurl = ampq://u:hush@h\n[results]\nurl = redis://u:hush@h:port\n"
        "[celery]\nbroker_url = amqp://u:hush@h\nbroker_password = hush\n[schedule:s]\ntask = "
        't\nevery = 1s\nargs = ["hush"\n'
        "amqp://u:hush@h\n"
    )
    assert len(problems) == 6
    assert "hush" not in "".join(map(str, problems))


_HEADINGS = [f"[{kind.word}{':x' if kind.named else ''}]" for kind in KINDS] + [
    "[celery]",
    "[queue:default]",
]
_OPTIONS = sorted(
    {option for kind in KINDS for option in kind.model.model_fields}
    | {"task_routes", "result_cache_max"}
)
_TEXTS = st.one_of(
    st.sampled_from(
        [
            "1",
            "0",
            "5s",
            "1/s",
            "9/h",
            "t",
            "t*, u",
            "/tmp",  # noqa: S108
            "default",
            "x",
            "* * * * *",
            "[]",
            "{}",
            "[1",
            "yes",
        ]
    ),
    st.sampled_from(
        [
            "amqp://u:p@h",
            "redis://[",
            "/" + "x" * 5000,
            "/dev/zero",
            "/etc/shadow",
            "[" * 9000,
            "9" * 5000,
            "../..",
        ]
    ),
    st.text(max_size=20),
)
_LINES = st.one_of(
    st.sampled_from(_HEADINGS),
    st.builds("{} = {}".format, st.sampled_from(_OPTIONS), _TEXTS),
    st.text(max_size=30),
)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(_LINES, max_size=25).map(lambda lines: "\n".join(lines).encode()),
    )
)
def test_no_text_breaks_load(data: bytes) -> None:
    """No bytes whatsoever in a configuration file make `load` raise anything but ConfigError."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "warren.ini").write_bytes(data)
        problems: tuple[Problem, ...] = ()
        try:
            load(Path(name), "here")
        except ConfigError as error:
            problems = error.problems
        assert all("\n" not in str(problem) for problem in problems)
