"""`scripts/in-debian`: where its roots lie, and what a command finds in one.

That one is really made is in test_other_release.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import releases
from support.wait import run_to_end

#: Stands for the one that takes minutes: notes that it ran, leaves a half-made root, and its caller
#: is killed.
DEBOOTSTRAP = """#!/bin/sh -e
echo once >>"$NOTES"
for target; do case $target in /*) mkdir -p "$target/etc"; break ;; esac; done
kill -KILL $PPID
"""
#: Puts the tree below /mnt and the machine's own root where that of the release is looked for, then
#: runs the words there.
BELOW_MNT = """
tree=$1 base=$2; shift 2
mkdir "$base.tree"
mount --bind "$tree" "$base.tree"
mount --bind / "$base"
mount -t tmpfs tmpfs /mnt
mkdir /mnt/tree /mnt/made
mount --bind "$base.tree" /mnt/tree
/mnt/tree/scripts/in-debian --out /mnt/made trixie "$@"
cat /mnt/made/file
"""


class Roots:
    """Roots below a directory on a disk, and a debootstrap that never makes one whole."""

    def __init__(self, directory: Path, programs: Path) -> None:
        self.directory = directory
        self._notes = programs / "notes"
        program = programs / "debootstrap"
        program.write_text(DEBOOTSTRAP, encoding="ascii")
        program.chmod(0o755)
        path = f"{programs}:{os.environ['PATH']}"
        self._environment = {
            **os.environ,
            "PATH": path,
            "WARREN_ROOTS": str(directory),
            "NOTES": str(self._notes),
        }

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return run_to_end(
            ["unshare", "--mount", *arguments], env=self._environment, capture_output=True
        )

    def ask(self) -> subprocess.CompletedProcess[str]:
        return self.run(releases.IN_DEBIAN, "--root", "trixie")

    @property
    def tries(self) -> int:
        """How many times one was about to be made."""
        return len(self._notes.read_text(encoding="ascii").split()) if self._notes.exists() else 0

    def half(self) -> Path:
        """A root that was killed while it was made."""
        asked = self.ask()
        assert (asked.returncode != 0, asked.stdout, self.tries) == (True, "", 1), asked.stderr
        (directory,) = re.findall(r"making a root of trixie in (\S+) ", asked.stderr)
        assert Path(directory, "etc").is_dir()
        return Path(directory)


@pytest.fixture
def roots(tmp_path: Path) -> Iterator[Roots]:
    if os.geteuid() != 0:
        releases.without_root("a root of another release needs root")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        yield Roots(Path(directory), tmp_path)


@pytest.mark.parametrize("word", ["nodev", "noexec", "tmpfs"])
def test_a_disk_that_can_hold_no_root_is_told(roots: Roots, word: str) -> None:
    """Before anything is fetched: the mount option that stands in the way, and what to do."""
    mounted = f"mount -t tmpfs tmpfs {roots.directory}"
    if word != "tmpfs":
        mounted = (
            f"mount --bind {roots.directory} {roots.directory}; mount -o remount,bind,{word} "
            f"{roots.directory}"
        )
    asked = roots.run("sh", "-ec", f'{mounted}; exec "$0" --root trixie', releases.IN_DEBIAN)
    assert (asked.returncode, asked.stdout, roots.tries) == (1, "", 0)
    assert word in asked.stderr
    assert "WARREN_ROOTS" in asked.stderr


def test_a_half_made_root_is_made_again(roots: Roots) -> None:
    """A root is taken when its marker is there, which is written last; one without is not."""
    directory = roots.half()
    assert roots.ask().returncode != 0
    assert roots.tries == 2
    Path(f"{directory}.whole").touch()
    asked = roots.ask()
    assert (asked.returncode, asked.stdout, roots.tries) == (0, f"{directory}\n", 2)


def test_a_tree_below_mnt_is_found(roots: Roots) -> None:
    """The command sees the tree and its own root's directories.

    It writes to the directory that it was given.
    """
    directory = roots.half()
    shutil.rmtree(directory)
    directory.mkdir()
    Path(f"{directory}.whole").touch()
    command = "pwd; ls setup.py; ls -d /root /srv; rm setup.py; echo made >/mnt/out/file"
    done = roots.run("sh", "-ec", BELOW_MNT, "sh", releases.TREE, directory, "sh", "-ec", command)
    assert done.stdout.split() == ["/mnt/warren", "setup.py", "/root", "/srv", "made"], done.stderr
    assert (releases.TREE / "setup.py").exists()
