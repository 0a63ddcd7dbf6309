"""scripts/test installs what the tests run: a bare Debian has next to nothing."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
SCRIPT = (TESTS.parent / "scripts" / "test").read_text(encoding="utf-8")
#: Programs of packages that every Debian has (Essential: yes), and of those that Warren's own
#: package needs.
ALWAYS = {
    "apt-get",
    "bash",
    "cat",
    "dash",
    "dd",
    "dpkg",
    "dpkg-deb",
    "env",
    "false",
    "hostname",
    "ls",
    "nsenter",
    "python3",
    "rm",
    "runuser",
}
ALWAYS |= {"setsid", "sh", "sleep", "stat", "tail", "test", "touch", "true", "unshare", "warren"}
#: Programs of a package that another program stands for in scripts/test.
WITH = {
    "epmd": "rabbitmq-server",
    "journalctl": "systemd-nspawn",
    "kill": "ps",
    "rabbitmqctl": "rabbitmq-server",
    "ss": "ip",
    "systemctl": "systemd-nspawn",
    "systemd-run": "systemd-nspawn",
    "umount": "mount",
}
#: Calls whose first word, or whose list's first word, is a program.
CALLS = (".run", "run_to_end", ".Popen", "process", ".which")


def needed() -> tuple[set[str], set[str]]:
    """The programs that scripts/test looks for, and the packages that it installs."""
    lines = [
        shlex.split(line, comments=True)
        for line in re.findall(r"(?:^|\|\| )(need .*)$", SCRIPT, re.MULTILINE)
    ]
    return {arguments[1] for arguments in lines}, {arguments[2] for arguments in lines}


def called(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """The name of each call, and its first word where that is written down."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            name = (
                f".{node.func.attr}"
                if isinstance(node.func, ast.Attribute)
                else getattr(node.func, "id", "")
            )
            first = (
                node.args[0].elts[0]
                if isinstance(node.args[0], ast.List) and node.args[0].elts
                else node.args[0]
            )
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield name, first.value


def test_every_program_is_installed() -> None:
    """What a test runs by its name, or says to be missing, is in the list of scripts/test."""
    programs, packages = needed()
    assert "rabbitmq-server" in programs & packages
    found: set[str] = set()
    for path in TESTS.rglob("*.py"):
        for name, word in called(ast.parse(path.read_text(encoding="utf-8"))):
            program = re.fullmatch(r"[a-z][a-z0-9.-]*", word) and name in CALLS
            if program and WITH.get(word, word) not in programs | ALWAYS:
                found.add(f"{path.name}: {word}")
            elif name == "missing" and "root" not in word:
                found |= {
                    f"{path.name}: {package}" for package in word.split() if package not in packages
                }
    assert found == set()
