"""What dpkg runs as root, on a host whose tasks are hostile."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from support.package import ROOT
from support.wait import run_to_end

#: Stands for programs that would act on the machine.
QUIET = "#!/bin/sh\n"


def program(path: Path, text: str = QUIET) -> None:
    """Makes a program."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def removed(scratch: Path, directory: Path, mountpoint: str) -> subprocess.CompletedProcess[str]:
    """Run what `apt purge` does to one directory with a mount, and another `mountpoint`."""
    stubs = scratch / "bin"
    stubs.mkdir()
    program(stubs / "mountpoint", mountpoint)
    mounts = scratch / "mounts"
    mounts.write_text(f"36 35 98:0 / {directory}/a rw - ext4 /dev/root rw\n")
    return purged(directory, {"PATH=": f"PATH={stubs}:", "/proc/self/mountinfo": str(mounts)})


def purged(directory: Path, others: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs what `apt purge` does to one directory; `others` are words of the script to replace."""
    text = (ROOT / "debian/warren.postrm").read_text(encoding="utf-8")
    for word, other in others.items():
        assert word in text
        text = text.replace(word, other, 1)
    text = re.sub(r"\nif \[ .*", f"\nremove {directory}\n", text, flags=re.DOTALL)
    return run_to_end(["dash", "-c", text], capture_output=True)


@pytest.mark.parametrize("active", ["is-active", "is-failed"])
def test_status_stays_text_at_an_installation(scratch: Path, active: str) -> None:
    """No control characters of STATUS reach root's terminal.

    Nor do letters of which a shell's echo would make some.
    """
    for name in ("mkdir", "ln", "monit", "install"):
        program(scratch / name)
    status = r"jobs: \033]0;title\007 \\c \xc2\x9b2J"
    program(
        scratch / "systemctl",
        f"#!/bin/sh\ncase \"$*\" in *StatusText*) printf '%s\\302\\233' '{status}'; printf "
        f"'\\033[2J\\n' ;; *'{active} warren'*) exit 0 ;; *) exit 1 ;; esac\n",
    )
    text = (
        (ROOT / "debian/warren.postinst")
        .read_text(encoding="utf-8")
        .replace("/usr/lib/warren/monit-page-password", "true")
    )
    environment = {"PATH": f"{scratch}:/usr/bin:/bin", "LANG": "C.UTF-8"}
    done = run_to_end(
        ["dash", "-c", text, "postinst", "configure", "0.1.0"], capture_output=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert f"{status}[2J\n" in said
    assert said.replace("\n", "").isprintable()


def test_a_purge_removes_everything_but_what_is_linked(scratch: Path) -> None:
    """Files, deep directories, links and fifos are removed, whatever their names.

    What a link leads to stays.
    """
    directory, others = scratch / "state", scratch / "others"
    deep = directory / "/".join(["a b"] * 30)
    for place in (deep, others, directory / "-rf", directory / "new\nline"):
        place.mkdir(parents=True)
        (place / "-f").write_text("x")
        (place / "$(id) '\"").write_text("x")
    os.mkfifo(directory / "fifo")
    (directory / "link").symlink_to(others)
    (deep / "link").symlink_to(others / "-f")
    done = removed(scratch, directory, "#!/bin/sh\nexit 1\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert not directory.exists()
    assert len(list(others.iterdir())) == 2


def test_a_purge_needs_no_process_for_each_directory(scratch: Path) -> None:
    """Where nothing is mounted, whatever tasks have left is removed.

    It may be 300 directories deep, links, or names like options.
    """
    directory, others = scratch / "state", scratch / "others"
    for place in (others, directory / "-rf", directory / "new\nline"):
        place.mkdir(parents=True)
        (place / "-f").write_text("x")
    (directory / "link").symlink_to(others)
    os.mkfifo(directory / "fifo")
    (directory / "/".join(["directory"] * 300)).mkdir(parents=True)
    program(scratch / "mountpoint", f"#!/bin/sh\necho >{scratch}/asked\nexit 1\n")
    done = purged(directory, {"PATH=": f"PATH={scratch}:"})
    assert (done.returncode, done.stderr) == (0, "")
    assert not directory.exists()
    assert (others / "-f").exists()
    assert not (scratch / "asked").exists()


def test_what_a_purge_cannot_remove_is_named(scratch: Path) -> None:
    """The rest of the purge continues, and root reads which directory is still there."""
    theirs = scratch / "state/a"
    theirs.mkdir(parents=True)
    done = removed(scratch, scratch / "state", "#!/bin/sh\n[ ${2##*/} = a ]\n")
    assert (done.returncode, done.stderr) == (
        0,
        f"warren: not all of {scratch}/state could be removed\n",
    )
    assert theirs.exists()


@pytest.mark.parametrize("victims", ["file", "directory"])
def test_a_purge_follows_no_directory_that_becomes_a_link(scratch: Path, victims: str) -> None:
    """A remaining process of the suite's user replaces its own files by links to root's."""
    directory, others = scratch / "state", scratch / "others"
    for place in (directory / "a", others):
        place.mkdir(parents=True)
        if victims == "file":
            (place / "victim").write_text("x")
        else:
            (place / "victim").mkdir()
    for number in range(50):
        (directory / f"z{number}").mkdir()
    # Once `find` is past a/ it becomes a link: at each further directory this program runs.
    swap = (
        f"test -e {scratch}/past && test ! -L {directory}/a && mv {directory}/a {directory}/gone "
        f"&& ln -s {others} {directory}/a"
    )
    removed(
        scratch,
        directory,
        f"#!/bin/sh\n{swap}\n[ $2 != ./victim ] && [ ${{2##*/}} != a ] || : "
        f">{scratch}/past\nexit 1\n",
    )
    assert (others / "victim").exists()


def test_what_is_mounted_in_a_directory_keeps_its_files(scratch: Path) -> None:
    """A purge passes over each mount, and keeps the directories that lead to it."""
    theirs = scratch / "state/a/theirs"
    theirs.mkdir(parents=True)
    (theirs / "file").write_text("x")
    (theirs / "empty").mkdir()
    (scratch / "state/a/file").write_text("x")
    removed(scratch, scratch / "state", "#!/bin/sh\n[ ${2##*/} = theirs ]\n")
    assert sorted(str(path.relative_to(scratch)) for path in (scratch / "state").rglob("*")) == [
        "state/a",
        "state/a/theirs",
        "state/a/theirs/empty",
        "state/a/theirs/file",
    ]
