"""Who may enter the directories that Warren makes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from warren.system.private_directory import make_closed, make_logs


@pytest.fixture(params=[0, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each of some umasks that a shell may have."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(directory: Path) -> int:
    return directory.stat().st_mode & 0o777


@pytest.mark.usefixtures("umask")
def test_what_is_made_is_closed_whatever_the_umask(tmp_path: Path) -> None:
    """State and run directory are their user's alone, and the group may read the logs.

    So the group may enter the directories made above the logs.
    """
    make_closed(tmp_path / "a" / "state")
    make_logs(tmp_path / "b" / "log")
    assert [mode(tmp_path / name) for name in ("a", "a/state")] == [0o700, 0o700]
    assert [mode(tmp_path / name) for name in ("b", "b/log")] == [0o750, 0o750]


@pytest.mark.parametrize(
    ("before", "behind"), [(0o750, 0o700), (0o700, 0o700), (0o755, 0o755), (0o770, 0o770)]
)
def test_what_an_older_version_made_is_closed(tmp_path: Path, before: int, behind: int) -> None:
    """0750 is the mode that an older version made; any other mode was chosen.

    Perhaps the directory serves others, too.
    """
    directory = tmp_path / "state"
    directory.mkdir()
    directory.chmod(before)
    make_closed(directory)
    assert mode(directory) == behind
    directory.chmod(before)
    make_logs(directory)
    assert mode(directory) == before


def test_a_file_in_its_place_is_an_error(tmp_path: Path) -> None:
    """Whoever asked is told, as the operating system says it."""
    (tmp_path / "state").touch()
    with pytest.raises(FileExistsError):
        make_closed(tmp_path / "state")
