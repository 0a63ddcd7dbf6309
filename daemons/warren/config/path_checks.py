"""Secret files and directories that the settings name, checked against those of this machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from warren.config.file_access import who_may, who_writes
from warren.config.option_types import kind
from warren.config.schema import BrokerSettings, ResultsSettings
from warren.config.settings import Settings
from warren.config.units import Unexpected
from warren.errors import Problem
from warren.system.users import mode_text, own_name, user_name

_DIRECTORIES = ("state_dir", "log_dir", "run_dir")
#: The most bytes of the socket's path. unix(7) allows 107, but supervisord first binds a socket
#: with its process number appended to the name.
_LONGEST_SOCKET = 99
_LONGEST_SECRET = 65536  # bytes
HIDDEN = "the unit hides /home, /root and /run/user from the suite: put the code below /srv or /opt"
_MAKE_SECRET = {
    "broker": "make the file with the URL (chmod 600), or remove the line for the embedded broker",
    "results": (
        "make the file with the URL (chmod 600), or remove the line to keep results with the broker"
    ),
}


def with_secrets(
    settings: Settings, known: Mapping[Path, str]
) -> tuple[Settings, dict[Path, str], list[Problem]]:
    """Return the settings with the URLs from their secret files, those files' texts, and problems.

    A file that is missing, or that other users may read, or that holds no valid URL is a problem. A
    file in `known` is not read again.
    """
    problems: list[Problem] = []
    secrets: dict[Path, str] = {}
    for section in ("broker", "results"):
        part: BrokerSettings | ResultsSettings = getattr(settings, section)
        if part.url_file is None:
            continue
        origin = settings.origin(section, "url_file")
        if part.url is not None:
            other = f"url as well, at {settings.origin(section, 'url')}"
            problems.append(
                Problem(origin, section, "url_file", "one of url and url_file", other, "remove one")
            )
            continue
        try:
            text = known.get(part.url_file) or read_secret(part.url_file)
            url = kind(type(part).model_fields["url"]).read(text)
        except Unexpected as error:
            where = f"{error.found} at {part.url_file}"
            remedy = who_may(part.url_file, secret=True) or (
                "" if os.path.lexists(part.url_file) else _MAKE_SECRET[section]
            )
            problems.append(Problem(origin, section, "url_file", error.expected, where, remedy))
        else:
            secrets[part.url_file] = text
            settings = settings.model_copy(update={section: part.model_copy(update={"url": url})})
    return settings, secrets, problems


def read_secret(path: Path) -> str:
    """Return the only line of a file that only its owner may read.

    Raises `Unexpected`, which never quotes the line.
    """
    expected = "a file that only its owner may read (chmod 600)"
    try:
        # Without O_NONBLOCK, open() of a named pipe waits until a process opens the pipe for
        # writing.
        with open(
            path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)
        ) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise Unexpected(expected, "something that is no file")
            if mode & 0o077:
                raise Unexpected(expected, f"mode {mode_text(mode)}")
            text = file.read(_LONGEST_SECRET).decode("utf-8").strip()
    except OSError as error:
        raise Unexpected(expected, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise Unexpected("one line of UTF-8 text", "other bytes") from None
    if not text or "\n" in text or "\0" in text:
        raise Unexpected("one line", "several" if text else "nothing")
    return text


def check(settings: Settings) -> Iterator[Problem]:
    """Yield a problem for each path that is wrong whichever user the suite runs as."""
    for option in (*_DIRECTORIES, "path"):
        directory: Path | None = getattr(settings.app, option)
        if directory is None:
            continue
        exists = os.path.lexists(directory)
        nearest = next(each for each in (directory, *directory.parents) if os.path.lexists(each))
        origin = settings.origin("app", option)
        if not os.path.isdir(nearest):
            yield Problem(origin, "app", option, "a directory", f"{nearest}, which is none")
        elif option == "path" and not exists:
            remedy = HIDDEN if in_a_home(directory) else who_may(directory.parent)
            yield Problem(
                origin,
                "app",
                option,
                "a directory that holds the modules",
                f"nothing at {directory}",
                remedy,
            )
    socket = settings.app.run_dir / "supervisor.sock"
    length = len(os.fsencode(socket))
    if length > _LONGEST_SOCKET:
        expected = (
            f"a directory so short that its supervisor.sock has at most {_LONGEST_SOCKET} bytes"
        )
        yield Problem(
            settings.origin("app", "run_dir"), "app", "run_dir", expected, f"{length} bytes"
        )


def in_a_home(path: Path) -> bool:
    """Return whether the path is below a home directory.

    ProtectHome= of the unit hides home directories from the suite (systemd.exec(5)).
    """
    return any(path.is_relative_to(home) for home in ("/home", "/root", "/run/user"))


def suite_of_another(settings: Settings) -> str:
    """Return the suite's user when this process has another user and only reads; else empty.

    The owner of the state directory is the suite's user, because that user must be able to write
    there. Root as the owner, or a directory that this process may write to, give an empty text.
    """
    state_dir = settings.app.state_dir
    try:
        owner = state_dir.stat().st_uid
    except OSError:
        return ""
    another = owner not in (0, os.geteuid()) and not os.access(state_dir, os.W_OK | os.X_OK)
    return user_name(owner) if another else ""


def check_directories(settings: Settings) -> list[Problem]:
    """Return a problem for each existing directory that the user of this process may not write to.

    Separate from `check`, because the user who reads the settings need not run the suite.
    """
    problems = []
    for option in _DIRECTORIES:
        directory: Path = getattr(settings.app, option)
        if os.path.isdir(directory) and not os.access(directory, os.W_OK | os.X_OK):
            status = directory.stat()
            found = (
                f"{directory} of the user {user_name(status.st_uid)}, mode "
                f"{mode_text(status.st_mode)}"
            )
            expected = f"a directory that the user {own_name()} may write to"
            problems.append(
                Problem(
                    settings.origin("app", option),
                    "app",
                    option,
                    expected,
                    found,
                    who_writes(directory),
                )
            )
    return problems
