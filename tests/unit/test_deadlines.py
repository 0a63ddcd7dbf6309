"""What the tests themselves may not do, since it passes on a quiet machine alone.

Each file of tests/ is read for it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from support.wait import SHORTEST

TESTS = Path(__file__).parents[1]
#: Where the deadlines are kept, and what tries them.
EXEMPT = ("support/wait.py", "unit/test_waits.py", "unit/test_deadlines.py")
#: On the line, or above the statement that it is part of: why load does no harm there.
REASON = "# load: "
#: Waits that a call of the same name in support/wait.py makes, with a deadline.
INSTEAD = {
    "run": "run_to_end",
    "check_call": "run_to_end",
    "check_output": "run_to_end",
    "call": "run_to_end",
    "communicate": "output_of",
    "sleep": "until, or let_pass",
}
#: Calls that wait for so many seconds: their keyword, where it stands among their arguments, or
#: their one argument.
TIMES = ("timeout", "within", "socket_timeout", "socket_connect_timeout", "shutdown_timeout")
PLACES = {"until": 1, "await_event": 2, "all_done": 2, "another": 2}
WAITS = ("wait", "join", "acquire", "settimeout", "get")
CLOCKS = ("monotonic", "perf_counter", "time", "clock_gettime", "now", "now_ns")


def found(text: str) -> Iterator[tuple[int, str]]:
    """Line and fault of each place in a file that a busy machine would fail."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            yield from ((node.lineno, fault) for fault in _of_call(node))
        elif isinstance(node, ast.Assert) and _says_how_fast(node.test):
            yield (
                node.lineno,
                (
                    "asserts how fast something was: wait for it, and note the time with the "
                    "fixture figure"
                ),
            )


def _of_call(call: ast.Call) -> Iterator[str]:
    name = _name(call)
    owner = (
        call.func.value.id
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name)
        else ""
    )
    place = PLACES.get(name, len(call.args))
    if len(call.args) > place and _short(call.args[place]):
        yield f"{name} of less than {SHORTEST:g} s: leave its deadline out"
    if name in INSTEAD and (owner in ("subprocess", "time") or name == "communicate"):
        yield f"{owner or '...'}.{name}: see {INSTEAD[name]} in support/wait.py"
    for keyword in call.keywords:
        if keyword.arg in TIMES and _short(keyword.value):
            yield (
                f"{keyword.arg} below {SHORTEST:g} s: leave it out, or use TIMEOUT of "
                "support/wait.py"
            )
    if (
        name in WAITS
        and isinstance(call.func, ast.Attribute)
        and len(call.args) == 1
        and _short(call.args[0])
        and owner != "os"
    ):
        yield f"{name}() of less than {SHORTEST:g} s: see end_of and TIMEOUT in support/wait.py"


def _short(value: ast.expr) -> bool:
    return (
        isinstance(value, ast.Constant)
        and isinstance(value.value, int | float)
        and not isinstance(value.value, bool)
        and value.value < SHORTEST
    )


def _says_how_fast(test: ast.expr) -> bool:
    """Whether what a clock has measured must be below a number."""
    for compare in (node for node in ast.walk(test) if isinstance(node, ast.Compare)):
        sides = [compare.left, *compare.comparators]
        for left, operator, right in zip(sides, compare.ops, sides[1:], strict=False):
            if isinstance(operator, ast.Lt | ast.LtE) and _measured(left) and _fixed(right):
                return True
            if isinstance(operator, ast.Gt | ast.GtE) and _measured(right) and _fixed(left):
                return True
    return False


def _measured(value: ast.expr) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id in ("took", "elapsed"))
        or (isinstance(node, ast.Call) and _name(node) in CLOCKS)
        for node in ast.walk(value)
    )


def _fixed(value: ast.expr) -> bool:
    """Whether it is made of numbers and constants alone."""
    return not any(
        isinstance(node, ast.Call | ast.Attribute | ast.Subscript)
        or (isinstance(node, ast.Name) and not node.id.isupper())
        for node in ast.walk(value)
    )


def _name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _first_line(text: str, line: int) -> int:
    """Return the line at which the innermost statement around a line begins."""
    return max(
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0)
    )


def _has_reason(lines: list[str], line: int, first: int) -> bool:
    return any(REASON in lines[number] for number in (first - 1, first, line - 1, line))


def test_no_test_needs_a_quiet_machine() -> None:
    """No deadline is below a minute, no wait is outside support/wait.py, no speed is asserted."""
    faults = []
    for path in sorted(TESTS.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = ["", *text.splitlines()]
        name = path.relative_to(TESTS).as_posix()
        if name not in EXEMPT:
            faults += [
                f"{name}:{line}: {fault}"
                for line, fault in found(text)
                if not _has_reason(lines, line, _first_line(text, line))
            ]
    assert not faults, "\n".join(
        [f"expected none of these, or a line above it that begins with {REASON}why", *faults]
    )


def test_each_fault_is_found() -> None:
    """What the test above looks for, line by line; and what it lets pass."""
    wrong = """
subprocess.run(["true"])
process.communicate()
time.sleep(1)
process.wait(10)
thread.join(5)
result.get(timeout=5)
suite.warren("check", within=30)
until(condition, 20, "the thing")
suite.await_event("worker", "ready", 30)
assert time.monotonic() - began < 5
assert took <= 30
assert 5 > time.monotonic() - began
assert 1 <= time.monotonic() - began < 5
"""
    right = """
run_to_end(["true"])
process.wait()
", ".join(words)
os.path.join("a")
thread.join(TIMEOUT)
result.get(timeout=60)
assert took >= 5
assert began < time.monotonic()
assert line["ran_s"] <= time.monotonic() - began
assert first <= time.time() <= last
"""
    assert sorted({line for line, _ in found(wrong)}) == list(range(2, len(wrong.splitlines()) + 1))
    assert (
        list(found(right))
        == [
            (
                10,
                (
                    "asserts how fast something was: wait for it, and note the time with the "
                    "fixture figure"
                ),
            )
        ][:0]
    )
