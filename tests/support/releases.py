"""Releases of Debian that hosts can be of.

They are this machine's own, or one whose root `scripts/in-debian` makes with debootstrap.
"""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import pytest

from support.servers import missing
from support.wait import run_to_end

TREE = Path(__file__).parents[2]
IN_DEBIAN = TREE / "scripts" / "in-debian"
#: Those that Warren is for.
SUPPORTED = ("bookworm", "trixie")
OWN = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
#: That of the hosts: what `scripts/test host --release NAME` was told.
CHOSEN = os.environ.get("WARREN_TEST_RELEASE") or OWN
#: Seconds that the root may take to be made: it is fetched, and tried three times. The package of
#: another release, as well.
MADE_WITHIN = 1500.0


def other() -> str:
    """The supported release that this machine is not of."""
    return next(release for release in reversed(SUPPORTED) if release != OWN)


def root_of(release: str) -> Path:
    """Return the root that hosts of this release lie over.

    It is made when it does not exist, which takes minutes.
    """
    if release == OWN:
        return Path("/")
    if shutil.which("debootstrap") is None:
        missing("debootstrap")
    if os.geteuid() != 0:
        without_root("a root of another release needs root")
    done = run_to_end([IN_DEBIAN, "--root", release], capture_output=True, within=MADE_WITHIN)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def without_root(text: str) -> None:
    """Skips the test at home; where CI is set what needs root has it."""
    pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
