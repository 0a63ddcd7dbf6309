"""hashes.txt, from which the package is made.

It is compared with constraints.txt and with what Warren needs.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Compiled for each Python and machine: one file would be good for one kind of host.
COMPILED = ("pydantic-core", "charset-normalizer")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    """Version by name, as constraints.txt has them."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return {
        canonical(name): number
        for name, number in re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE)
    }


def hashed() -> dict[str, tuple[str, list[str]]]:
    """Version and digests by name, as hashes.txt has them."""
    text = (ROOT / "hashes.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = {}
    for line in lines:
        name, number = re.match(r"([\w.-]+)==(\S+)", line).groups()  # type: ignore[union-attr]
        found[canonical(name)] = number, re.findall(r"--hash=sha256:([0-9a-f]{64})(?= |$)", line)
    return found


def needed(name: str) -> set[str]:
    """Return what an installed package needs at run time, with all that those need.

    Extras that were asked for are included.
    """
    found: set[str] = set()
    waiting, seen = [(name, frozenset[str]())], set()
    while waiting:
        package, extras = asked = waiting.pop()
        if asked in seen:
            continue
        seen.add(asked)
        try:
            requirements = requires(package) or []
        except PackageNotFoundError:  # for another Python, or system
            continue
        for requirement in requirements:
            arguments, _, marker = requirement.partition(";")
            if "extra" in marker and not any(extra and extra in marker for extra in extras):
                continue
            if marker and "extra" not in marker and "version" in marker:
                continue  # another Python's
            its_name, its_extras = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", arguments).groups()  # type: ignore[union-attr]
            found.add(canonical(its_name))
            waiting.append((canonical(its_name), frozenset((its_extras or "").split(","))))
    return {each for each in found if _is_installed(each)}


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


@pytest.mark.parametrize("name", sorted(hashed()))
def test_each_version_is_the_pinned_one_with_digests(name: str) -> None:
    """A version that was moved in one file alone is noticed, and so is a line without a digest."""
    number, digests = hashed()[name]
    assert number == pinned()[name]
    assert digests
    if name in COMPILED:
        assert len(digests) >= 6, "expected files for three Pythons on two machines"


def test_all_that_warren_needs_is_named() -> None:
    """What is needed at run time, and what builds it; nothing of the tests.

    After a change: scripts/pin.
    """
    assert needed("warren") | {"setuptools", "async-timeout"} == set(hashed())


def test_neither_file_names_an_index() -> None:
    """Where files come from is the host's own setting: the digests hold wherever that is."""
    for name in ("hashes.txt", "constraints.txt"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host", text)
