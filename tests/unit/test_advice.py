"""What `warren check` warns of although it is not wrong."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from warren.config import load
from warren.config.advice import foreign_apps, misspelt_hosts
from warren.quotas.edit_cost import pauses
from warren.quotas.ledger import Ledger
from warren.quotas.ledgers import Ledgers
from warren.system.process import current_process

Written = Callable[..., Path]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (("lapotp", "server"), ["lapotp"]),
        (("laptop", "lapotp"), []),  # this host has its file
        (("server", "db1"), []),
        (("laptop2",), ["laptop2"]),
        ((), []),
    ],
)
def test_a_file_of_hosts_that_is_nearly_this_hosts(
    etc: Written, files: tuple[str, ...], told: list[str]
) -> None:
    """The file is named, with the host that it was perhaps meant for.

    The files of other hosts are no mistake.
    """
    directory = etc("")
    (directory / "hosts").mkdir(exist_ok=True)
    for name in files:
        (directory / "hosts" / f"{name}.ini").write_text("", encoding="utf-8")
    found = list(misspelt_hosts(load(directory, "laptop")))
    assert [line.partition(":")[0] for line in found] == [
        str(directory / "hosts" / f"{name}.ini") for name in told
    ]
    assert all("This host is laptop" in line for line in found)


def test_a_celery_app_of_a_modules_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported with file and line, once, however many modules import it.

    An app that Warren made, and a proxy, are not reported.
    """
    source = tmp_path / "shop_celery.py"
    source.write_text(
        textwrap.dedent(
            """
            from celery import Celery, current_app

            app = Celery("shop", set_as_current=False)
            """
        ),
        encoding="utf-8",
    )
    made, user = ModuleType("shop_celery"), ModuleType("a_shop_tasks")
    made.__file__ = str(source)
    exec(compile(source.read_text(encoding="utf-8"), str(source), "exec"), vars(made))  # noqa: S102
    user.app = made.app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop_celery", made)
    monkeypatch.setitem(sys.modules, "a_shop_tasks", user)
    (line,) = [line for line in foreign_apps() if "shop" in line]
    assert line.startswith(f"{source}:4: app is a Celery app of its own.")
    assert "delay()" in line
    assert "write @shared_task" in line


def test_a_longer_window_is_told_before_it_costs(tmp_path: Path, etc: Written) -> None:
    """After calls under a short window a longer window admits none for its length.

    A change that costs nothing is not reported.
    """
    text = f"[app]\nstate_dir = {tmp_path}/state\n[quota:p2]\nlimit = {{}}\n"
    before = load(etc(text.format("5/20s")))
    assert pauses(before) == []  # no ledger yet
    Ledgers(before).configure()
    ledger: Ledger = Ledgers(before)["p2"]
    ledger.settle(ledger.reserve(5, current_process()) or (), answered=True)
    counts = ledger.counts()
    (line,) = pauses(load(etc(text.format("1000/h"))))
    assert line.startswith(("quota p2: no call for 36", "quota p2: no call for 35"))
    assert pauses(load(etc(text.format("3/20s")))) == []
    assert pauses(load(etc(text.format("5/20s")))) == []
    assert ledger.counts().limit == counts.limit  # the ledger itself is as it was
