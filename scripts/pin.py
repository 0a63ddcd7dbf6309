"""Print the digests of the files that the package may contain, as pip's index has them.

scripts/pin runs this file.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
#: Versions of the C library, newest first: from that of Debian 12 to the one of most wheels.
LIBRARIES = ("2_36", "2_34", "2_31", "2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")
#: Libraries that only some Pythons need, and libraries that build the sources.
SOMETIMES = {"async-timeout": 'python_full_version < "3.11.3"'}
BUILDS = ("setuptools",)
#: Libraries without a wheel, which are built from their source.
SOURCES = ("sdnotify",)
HEAD = """\
# The contents of the package, with the digests of the files that scripts/install takes: neither an
# index nor a server on the way to it can replace one of these files. Written by scripts/pin from
# constraints.txt; do not edit.
"""


def main() -> None:
    """Print the file."""
    text = Path("constraints.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE))
    versions = {canonical(name): version for name, version in pinned.items()}
    names = {name for name, _, _ in report("--no-build-isolation", ".")} - {"warren"} | {
        *SOMETIMES,
        *BUILDS,
    }
    wanted = [f"{name}=={versions[name]}" for name in sorted(names)]
    digests: dict[str, set[str]] = defaultdict(set)
    wheels = [
        requirement for requirement in wanted if requirement.partition("==")[0] not in SOURCES
    ]
    found = list(report("--no-deps", "--no-build-isolation", *(set(wanted) - set(wheels))))
    for python in PYTHONS:
        for machine in MACHINES:
            tags = [f"--platform=manylinux_{library}_{machine}" for library in LIBRARIES]
            only = [
                "--only-binary=:all:",
                f"--python-version={python}",
                *tags,
                f"--platform=manylinux2014_{machine}",
            ]
            found += report("--no-deps", *only, *wheels)
    for name, _, digest in found:
        digests[name].add(digest)
    sys.stdout.write(HEAD)
    for requirement in wanted:
        name = requirement.partition("==")[0]
        marker = f" ; {SOMETIMES[name]}" if name in SOMETIMES else ""
        lines = [
            f"{requirement}{marker}",
            *(f"    --hash=sha256:{digest}" for digest in sorted(digests[name])),
        ]
        sys.stdout.write(" \\\n".join(lines) + "\n")


def report(*words: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, version and digest of each file that pip would install for these arguments."""
    with tempfile.TemporaryDirectory() as target:
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "--no-input",
            "--dry-run",
        ]
        command += [
            "--ignore-installed",
            "-c",
            "constraints.txt",
            "--report",
            "-",
            f"--target={target}",
            *words,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"scripts/pin: {' '.join(words)}: {done.stderr}")
    yield from files(json.loads(done.stdout)["install"])


def files(installed: Iterable[dict[str, dict[str, object]]]) -> Iterator[tuple[str, str, str]]:
    """Yield name, version and digest of each file in pip's report."""
    for each in installed:
        info: dict[str, dict[str, dict[str, str]]] = each["download_info"]  # type: ignore[assignment]
        digest = info.get("archive_info", {}).get("hashes", {}).get("sha256", "")
        yield canonical(str(each["metadata"]["name"])), str(each["metadata"]["version"]), digest


def canonical(name: str) -> str:
    """Return the normal form of a name, in which all spellings are equal."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
