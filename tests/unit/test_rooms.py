"""The rooms of the house: who may import whom (docs/design.md, "One arrow")."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "daemons"
#: They know nothing of the rest of the house.
LEAVES = {
    "atomic_write",
    "descendants",
    "errors",
    "events",
    "heartbeat",
    "journal_line",
    "log",
    "log_file",
    "log_length",
    "log_line",
    "log_sink",
    "obstacles",
    "printable",
    "process",
    "process_state",
    "regular_file",
    "run_file",
    "shape",
    "strict_json",
}
LEAVES |= {"plain_text", "redaction", "redaction_commands", "redaction_keys", "redaction_urls", "redaction_values"}
LEAVES |= {"redaction_words", "secret_names", "closed_folder"}
#: The rooms of the daemons: none knows another.
DAEMONS = {"worker": "worker", "beat": "beat", "quota-watchdog": "quota.watchdog", "supervise": "supervise"}


@cache
def imports() -> dict[str, set[str]]:
    """Every module of Warren and the modules of Warren that it imports, also inside functions."""
    modules = {_name(path): path for path in SOURCE.rglob("*.py")}
    return {name: _imported(path, set(modules)) - {name} for name, path in modules.items()}


def _name(path: Path) -> str:
    parts = path.relative_to(SOURCE / "warren").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "warren"


def _imported(path: Path, known: set[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from room import module` asks for the module, `from room import name` for what the room itself says.
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("warren.") in known else node.module for name in submodules]
        else:
            continue
        found |= {name.removeprefix("warren.") for name in names if name.startswith("warren.")}
    return found & known


def within(module: str, room: str) -> bool:
    """Whether the module is the room or lies in it."""
    return module == room or module.startswith(f"{room}.")


def test_the_house_is_seen_whole() -> None:
    """The test would notice a room that it cannot see."""
    assert {"config.reader", "worker.gate", "quota.watchdog", "beat.daemon", "log"} <= set(imports())
    assert "log" in imports()["worker.gate"]


@pytest.mark.parametrize("daemon", DAEMONS)
def test_daemons_never_import_each_other(daemon: str) -> None:
    """A daemon works, and can be understood, without the others."""
    others = {room for name, room in DAEMONS.items() if name != daemon}
    wrong = {
        (module, target)
        for module, targets in imports().items()
        for target in targets
        if within(module, DAEMONS[daemon]) and any(within(target, room) for room in others)
    }
    assert not wrong


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_leaves_import_nothing_but_leaves(leaf: str) -> None:
    """What every room may use depends on none of them."""
    assert imports()[leaf] <= LEAVES


def test_health_knows_files_only() -> None:
    """What a monitor asks for each cycle loads no room, whatever it may cost."""
    wrong = {
        (module, target)
        for module, targets in imports().items()
        for target in targets
        if within(module, "health") and not within(target, "health") and target not in LEAVES
    }
    assert not wrong


def test_configuration_knows_no_daemon() -> None:
    """Settings flow into the daemons, never back."""
    wrong = {
        (module, target)
        for module, targets in imports().items()
        for target in targets
        if within(module, "config") and not within(target, "config") and target not in LEAVES
    }
    assert not wrong


def test_reading_logs_needs_no_settings_and_no_daemon() -> None:
    """Logs are read back also where the settings are wrong or the suite is gone."""
    wrong = {
        (module, target)
        for module, targets in imports().items()
        for target in targets
        if within(module, "reading") and not within(target, "reading") and target not in LEAVES
    }
    assert not wrong


@pytest.mark.parametrize("room", ["cli", "demo"])
def test_nobody_needs_the_command_line_or_the_demo(room: str) -> None:
    """The command line stands before the house and the demo beside it."""
    allowed = {"__main__"}
    wrong = {
        (module, target)
        for module, targets in imports().items()
        for target in targets
        if within(target, room) and not within(module, room) and module not in allowed
    }
    assert not wrong


def test_there_is_no_cycle() -> None:
    """Data flows one way."""
    try:
        tuple(TopologicalSorter(imports()).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_each_file_of_tests_has_a_name_of_its_own() -> None:
    """pytest imports them by their base name: of two with one name the second is an error of the whole run."""
    names = [path.name for path in Path(__file__).parents[1].rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
