"""The files that `warren broker init` writes: the secret URL, and the INI file that names it.

Root writes the URL with the rights of the suite's user, because the URL is in that user's
directory, where the user may have put links and fifos.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from warren.config.url_place import with_url_file
from warren.errors import CannotWrite
from warren.system.atomic_write import replace_file, sync_directory
from warren.system.users import User, acting_as


def write_url(file: Path, text: str, owner: User) -> None:
    """Write the file with the URL, as the file's owner. Raises CannotWrite."""
    with _writing(file), acting_as(owner):
        replace_file(file, f"{text}\n", mode=0o600, durable=True)


def remove_url(file: Path, owner: User) -> None:
    """Remove the file with the URL, if there is one. Raises OSError."""
    with acting_as(owner):
        file.unlink(missing_ok=True)


def make_closed_directory(directory: Path, owner: User) -> None:
    """Make a directory of the owner's in a directory of root's. Raises CannotWrite.

    The directory gets its name only when it has its owner. So a killed run leaves no such directory
    with another owner.
    """
    if os.path.lexists(directory):
        return
    fresh = directory.with_name(f"{directory.name}.new")
    with _writing(directory):
        fresh.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(fresh, owner.uid, owner.gid, follow_symlinks=False)
        fresh.rename(directory)
        sync_directory(directory.parent)


def ini_text(ini: Path) -> str | None:
    """Return the text of an INI file; None when there is none. Raises CannotWrite."""
    with _writing(ini):
        return ini.read_text(encoding="utf-8") if ini.exists() else None


def name_url_file(ini: Path, old: str | None, file: Path) -> None:
    """Write the INI file that names the file with the URL. Raises CannotWrite."""
    with _writing(ini):
        if not ini.parent.is_dir():
            ini.parent.mkdir()
            ini.parent.chmod(0o755)
        _replace_ini(ini, with_url_file(old or "", file))


def restore_ini(ini: Path, old: str | None) -> None:
    """Give an INI file its old text, or remove it. Raises OSError."""
    if old is None:
        ini.unlink(missing_ok=True)
    else:
        _replace_ini(ini, old)


def _replace_ini(ini: Path, text: str) -> None:
    replace_file(ini, text, mode=0o644, durable=True)
    ini.chmod(0o644)  # for any umask of root, the suite must be able to read the file


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "the file is no UTF-8 text"
        raise CannotWrite(
            f"{path} cannot be written: {why}; give its directory to the suite's user or free the "
            "disk, then run this command again"
        ) from error
