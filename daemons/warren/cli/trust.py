"""The users who decide what root does: the owner of the state, and those who may change the
settings.

A command of root acts as the owner of the suite's state. Who is the owner is chosen by every user
who may rename a directory on the way to the state, or edit the line that names it. So each such
user counts, and may choose nobody but that user.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from warren.errors import WarrenError
from warren.system.users import user_name

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS = 40  # the number of symbolic links that the kernel follows (path_resolution(7))
#: The mode bits that let the group, or everybody, write.
_SHARED = 0o022


class Untrusted(WarrenError):
    """A refusal: several users may decide what root would do, so root does nothing."""


@dataclass
class Way:
    """What is at the end of a path, and who may change where the path leads.

    owner: None when the path leads to nothing. deciders: the users, without root, who may change
    where the path leads. Root may change that everywhere.
    """

    owner: int | None = None
    mode: int = 0
    deciders: set[int] = field(default_factory=set)


def walk(path: Path, *, links: bool = False) -> Way:
    """Follow a path from the root directory, one directory at a time.

    Each directory is held open while its entry is judged. Raises Untrusted at a directory that
    users other than its owner may write to, at a symbolic link unless `links` is set, and at a
    missing entry that any user may make before root looks again.
    """
    way, left, seen = Way(), deque(path.parts[1:]), 0
    at = os.open("/", _DIRECTORY)
    here = Path("/")
    try:
        while left:
            _note(way, os.fstat(at), here)
            part = left.popleft()
            found = _entry(at, here / part)
            if found is None:
                way.owner = None
                return way
            way.owner, way.mode = found.st_uid, found.st_mode
            if stat.S_ISLNK(found.st_mode):
                seen += 1
                target = Path(os.readlink(part, dir_fd=at))
                if not links or seen > _LINKS:
                    raise Untrusted(
                        f"{here / part} is a symbolic link, which root does not follow; name the "
                        "directory itself"
                    )
                way.deciders |= {found.st_uid} - {0}
                left.extendleft(
                    reversed(target.parts[1:] if target.is_absolute() else target.parts)
                )
                inside, here = ("/", Path("/")) if target.is_absolute() else (".", here)
            elif left:
                if not stat.S_ISDIR(found.st_mode):
                    way.owner = None
                    return way
                inside, here = part, here / part
            else:
                return way
            try:
                inner = os.open(inside, _DIRECTORY, dir_fd=at)
            except OSError:  # the entry was replaced at this moment
                raise Untrusted(f"{here} changes while root looks at it; try again") from None
            os.close(at)
            at = inner
        return way
    finally:
        os.close(at)


def _entry(directory: int, path: Path) -> os.stat_result | None:
    """Return the status of the last part of `path`, which is in the open directory.

    Returns None when the entry is missing. Raises Untrusted when the entry is missing and any user
    may make it.
    """
    try:
        return os.stat(path.name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        # In a sticky directory any user may have made the entry before root looks again.
        if os.fstat(directory).st_mode & _SHARED:
            raise Untrusted(
                f"{path} does not exist, and any user may make it; make it as root first"
            ) from None
        return None


def decider_of_settings(directory: Path, host: str) -> int:
    """Return the user who may change the settings: 0 when only root may.

    Raises Untrusted when several users may change the settings.
    """
    found: set[int] = set()
    for path in _sources(directory, host):
        way = walk(path, links=True)
        if way.owner is None:
            continue
        if way.mode & _SHARED and not stat.S_ISLNK(way.mode):
            raise Untrusted(_shared(path))
        found |= way.deciders | ({way.owner} - {0})
    if len(found) > 1:
        names = " and ".join(sorted(map(user_name, found)))
        raise Untrusted(
            f"{directory}: both {names} may change the settings, so root obeys neither; give all "
            "files of the settings to one of the users, or to root"
        )
    return found.pop() if found else 0


def owner_of_state(path: Path) -> int | None:
    """Return the owner of the state directory; None when the directory does not exist.

    Raises Untrusted when other users may replace the directory.
    """
    way = walk(path)
    if way.owner == 0 and way.mode & _SHARED:  # root would work on the files of others
        raise Untrusted(_shared(path))
    others = way.deciders - {way.owner}
    if others and way.owner is not None:
        names = ", ".join(sorted(map(user_name, others)))
        raise Untrusted(
            f"{path} is of user {user_name(way.owner)}, but {names} may replace it, so root does "
            "not follow; move it below directories that only root, or that user, may write to"
        )
    if way.owner is None and way.deciders:
        return min(way.deciders)
    return way.owner


def refuse_strangers(path: Path, option: str) -> None:
    """Raise Untrusted unless only root may write to a directory.

    Root would work in this directory, because the state of the suite is root's.
    """
    way = walk(path, links=True)
    others = (way.deciders | {way.owner or 0}) - {0}
    if others:
        names = " and ".join(sorted(map(user_name, others)))
        raise Untrusted(
            f"{path}, which is [app] {option}, may be replaced by {names}, but [app] state_dir is "
            "root's: the suite would work as root on files of another user; give both to one "
            f"user, or name another {option}"
        )
    if way.owner == 0 and way.mode & _SHARED and not stat.S_ISLNK(way.mode):
        raise Untrusted(_shared(path))


def _sources(directory: Path, host: str) -> Iterator[Path]:
    """Yield every path of the settings that root would read.

    Directories are included, because a user who may write to a directory may add a file to it.
    """
    yield from (
        directory,
        directory / "conf.d",
        directory / "hosts",
        directory / "warren.ini",
        directory / "hosts" / f"{host}.ini",
    )
    names: list[str] = []
    with suppress(OSError):  # a directory that cannot be listed cannot be read either
        names = os.listdir(directory / "conf.d")
    yield from (directory / "conf.d" / name for name in sorted(names) if name.endswith(".ini"))


def _note(way: Way, status: os.stat_result, path: Path) -> None:
    """Count the owner of a directory on the way as a decider.

    Raises Untrusted for a directory that several users may write to. A sticky directory (/tmp) is
    accepted: no user can replace another user's entry there.
    """
    if status.st_mode & _SHARED and not status.st_mode & stat.S_ISVTX:
        raise Untrusted(_shared(path))
    way.deciders |= {status.st_uid} - {0}


def _shared(path: Path) -> str:
    return (
        f"{path} may be written to by more users than its owner, so root does not trust it; chmod "
        f"go-w {path}"
    )
