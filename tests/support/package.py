"""The Debian package of this tree, built once for all tests that install it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from support.releases import CHOSEN, IN_DEBIAN, MADE_WITHIN, OWN, root_of
from support.servers import missing
from support.wait import run_to_end

ROOT = Path(__file__).parents[2]
#: What the package is made of.
_SOURCES = ("daemons/warren", "debian", "docs", "etc", "examples", "monit", "scripts", "systemd")
_FILES = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "constraints.txt",
    "hashes.txt",
]
_FILES += ["pyproject.toml", "setup.py"]
#: Packages of older trees are removed after so many seconds: another run may be about to install
#: one.
_KEPT = 4 * 3600


def deb(version: str = "", release: str = CHOSEN) -> Path:
    """Return the package, built unless it has been built for the same tree.

    It has another version than the tree's when one is given.

    It is for hosts of `release`, and built in that. Another process that wants it waits: half a
    minute, and only after a change.
    """
    if release != OWN:
        root_of(release)
    elif shutil.which("dh") is None:
        missing("debhelper")
    cache = Path(tempfile.gettempdir()) / f"warren-packages-{os.geteuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    if cache.stat().st_uid != os.geteuid():
        raise PermissionError(f"{cache}: expected a directory of this user")
    directory = cache / _fingerprint(version, release)
    with open(cache / f"{release}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            _build(directory, version, release)
            for old in cache.glob("*/"):
                if time.time() - old.stat().st_mtime > _KEPT:
                    shutil.rmtree(old)
    (package,) = directory.glob("warren_*.deb")
    return package


def _build(directory: Path, version: str, release: str) -> None:
    fresh = directory.with_suffix(".new")
    options = ["--fast", *(["--version", version] if version else [])]
    if release == OWN:
        arguments, within = [str(ROOT / "scripts" / "build-deb"), *options, str(fresh)], 600.0
    else:
        arguments, within = (
            [
                str(IN_DEBIAN),
                "--out",
                str(fresh),
                release,
                "scripts/build-deb",
                *options,
                "/mnt/out",
            ],
            MADE_WITHIN,
        )
    done = run_to_end(arguments, capture_output=True, within=within)
    assert done.returncode == 0, done.stderr
    assert "packing ..." in done.stderr.splitlines(), "expected build-deb to tell its progress"
    fresh.rename(directory)


def _fingerprint(version: str, release: str) -> str:
    found = hashlib.sha256(f"{version} {release}".encode())
    files = [
        path
        for directory in _SOURCES
        for path in (ROOT / directory).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    ]
    for path in sorted([*files, *(ROOT / name for name in _FILES)]):
        found.update(f"{path.relative_to(ROOT)} {path.stat().st_mode:o}\n".encode())
        found.update(path.read_bytes())
    return found.hexdigest()[:16]
