"""The rooms of the house: who may import whom (docs/develop.md, "Order of imports")."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "daemons"
#: Each room may import those before it, and no other.
ROOMS = [
    "errors",
    "redaction",
    "system",
    "logs",
    "status",
    "config",
    "broker",
    "runtime",
    "health",
    "app",
    "quotas",
]
ROOMS += ["tasks", "supervise", "control", "worker", "beat", "watchdog", "web"]
ROOMS += ["cli", "demo", "__main__"]
#: The rooms of the daemons: none knows another.
DAEMONS = ("supervise", "worker", "beat", "watchdog", "web")
#: `warren health` runs in each cycle of a monitor, and log lines are read where the settings are
#: wrong: both know these only.
LIGHT = {"errors", "redaction", "system", "status"}


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
            # `from room import module` asks for the module, `from room import name` for what the
            # room itself says.
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [
                name if name.removeprefix("warren.") in known else node.module
                for name in submodules
            ]
        else:
            continue
        found |= {name.removeprefix("warren.") for name in names if name.startswith("warren.")}
    return found & known


def room(module: str) -> str:
    """Return the room in which a module lies."""
    return module.split(".")[0]


def between_rooms() -> Iterator[tuple[str, str]]:
    """Yield each import of one room's module by a module of another room.

    The public face stands for no room.
    """
    for module, targets in imports().items():
        for target in targets:
            if module != "warren" and room(target) != room(module):
                yield module, target


def test_the_house_is_seen_whole() -> None:
    """The test would notice a room that it cannot see."""
    assert {room(module) for module in imports()} == {*ROOMS, "warren"}
    assert "logs.setup" in imports()["worker.gate"]


def test_each_room_knows_only_the_rooms_before_it() -> None:
    """Data flows one way."""
    assert not {
        (by, of) for by, of in between_rooms() if ROOMS.index(room(of)) > ROOMS.index(room(by))
    }


def test_daemons_never_import_each_other() -> None:
    """A daemon works, and can be understood, without the others."""
    assert not {(by, of) for by, of in between_rooms() if {room(by), room(of)} <= set(DAEMONS)}


@pytest.mark.parametrize("light", ["health", "logs.reading"])
def test_what_must_always_answer_knows_no_settings_and_no_daemon(light: str) -> None:
    """`warren health` and `warren logs` import little.

    A monitor asks each cycle, and logs are read also where settings are wrong or the suite is gone.
    """
    own = room(light)
    assert not {
        (by, of)
        for by, of in between_rooms()
        if by.startswith(light) and room(of) not in {own, *LIGHT}
    }


def test_there_is_no_cycle_of_modules() -> None:
    """Each module can be read after those that it needs."""
    _sort(imports())


@pytest.mark.parametrize("outer", ROOMS)
def test_there_is_no_cycle_of_the_rooms_within_a_room(outer: str) -> None:
    """The arrow continues inside rooms.

    `supervise.reload` and `supervise.programs` do not need each other.
    """
    inner: dict[str, set[str]] = {}
    for module, targets in imports().items():
        if module.startswith(f"{outer}."):
            known = {_inner(target) for target in targets if target.startswith(f"{outer}.")}
            inner.setdefault(_inner(module), set()).update(known - {_inner(module)})
    _sort(inner)


def _inner(module: str) -> str:
    parts = module.split(".")
    return (
        ".".join(parts[:2])
        if len(parts) > 2 or (SOURCE / "warren" / Path(*parts)).is_dir()
        else module
    )


def _sort(graph: dict[str, set[str]]) -> None:
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_each_file_has_a_name_of_its_own() -> None:
    """A name says one thing, so no base name is there twice.

    pytest, too, imports tests by their base name: of two with one name the second is an error.
    """
    tests = [path.name for path in Path(__file__).parents[1].rglob("test_*.py")]
    assert sorted(tests) == sorted(set(tests))
    modules = [
        path.name
        for path in SOURCE.rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py", "daemon.py")
    ]
    assert sorted(modules) == sorted(set(modules))
