"""Ledgers that somebody cut, overwrote, removed or replaced."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.ledgers import LONGEST, NOBODY, WINDOW, fresh, poke, poke_slot, whole
from support.plants import PLANTS
from warren.quotas import layout, ledger_file
from warren.quotas.layout import HEADER_WORDS, SLOT_WORDS, WORD, Head, Slot
from warren.quotas.ledger import Ledger, now_ns
from warren.quotas.ledger_file import LedgerDamaged
from warren.quotas.mapped_file import LedgerBusy
from warren.quotas.ticket import Ticket
from warren.system.process import current_process


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger of a test is."""
    return tmp_path / "quota" / "x.ledger"


def cut(length: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, length)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": cut(0),
    "short": cut(100),
    "header only": cut(HEADER_WORDS * WORD),
    "one byte too few": cut(ledger_file.size(4) - 1),
    "text": lambda path: path.write_text("limit = 4\n" * 1000),
    "zeros": lambda path: path.write_bytes(bytes(ledger_file.size(4))),
    "version": lambda path: poke(path, VERSION=layout.VERSION + 1),
    "capacity 0": lambda path: poke(path, CAPACITY=0),
    "capacity too high": lambda path: poke(path, CAPACITY=2**60),
    "capacity too low": lambda path: poke(path, CAPACITY=1),
    "capacity negative": lambda path: poke(path, CAPACITY=-4),
    "limit 0": lambda path: poke(path, LIMIT=0),
    "limit too high": lambda path: poke(path, LIMIT=5),
    "window 0": lambda path: poke(path, WINDOW=0),
    "window too long": lambda path: poke(path, WINDOW=2**62),
    "longest call negative": lambda path: poke(path, LONGEST_CALL=-1),
    "serial negative": lambda path: poke(path, SERIAL=-1),
    "serial at its end": lambda path: poke(path, SERIAL=2**63 - 1),
    "high water too high": lambda path: poke(path, HIGH_WATER=5),
    "high water below what is on disk": lambda path: poke(path, HIGH_WATER=0),
    "closed for a year": lambda path: poke(path, CLOSED_UNTIL=now_ns() + 366 * 86400 * 10**9),
    "unknown state": lambda path: poke_slot(path, 3, Slot.STATE, 3),
    "negative time": lambda path: poke_slot(path, 2, Slot.UNTIL, -1),
    "far time": lambda path: poke_slot(path, 2, Slot.UNTIL, now_ns() + 10 * 3600 * 10**9),
}


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("form", DAMAGE)
def test_damage(path: Path, form: str, attached: bool) -> None:
    """A damaged ledger is kept under another name.

    The new one begins with every slot cooling, for all processes.
    """
    other = fresh(path)
    tickets = other.reserve(2, current_process()) or ()
    DAMAGE[form](path)
    content = path.read_bytes()
    ledger = other if attached else Ledger(path)
    found = ledger.configure(4, WINDOW, LONGEST)
    assert found.created
    assert "expected" in found.damage
    assert found.aside is not None
    assert found.aside.read_bytes()[WORD:] == content[WORD:]
    for user in (ledger, other, Ledger(path)):
        assert user.reserve(1, current_process()) is None
        assert not user.claim(tickets, current_process())
        assert user.settle(tickets, answered=True) == 0
        assert user.counts().cooling == 4
        assert WINDOW < (user.wait_s() or 0) < WINDOW * 1.001 + LONGEST
    assert sorted(path.parent.glob("x.ledger*")) == sorted([path, found.aside])


@pytest.mark.parametrize("memo", [False, True])
@pytest.mark.parametrize("word", [word for word in PLANTS if word != "larger than"])
def test_what_is_no_file_is_no_ledger(path: Path, word: str, memo: bool) -> None:
    """A link is not followed, not even to the ledger itself, and nothing is waited for.

    Every slot of the next ledger cools.
    """
    ledger = fresh(path)
    assert ledger.reserve(2, current_process())
    os.rename(path, path.with_name("moved"))
    PLANTS[word](path)
    if memo:
        (path.parent / ".x.ledger.making").unlink()
        PLANTS[word](path.parent / ".x.ledger.making")
        PLANTS[word](path.parent / ".x.ledger.new")
    if word == "symbolic link":
        path.unlink()
        path.symlink_to("moved")
    content = path.with_name("moved").read_bytes()
    for user in (ledger, Ledger(path)):
        with pytest.raises(LedgerDamaged, match=word):
            user.reserve(1, current_process())
    found = Ledger(path).configure(4, WINDOW, LONGEST)
    assert (found.created, word in found.damage) == (True, True)
    assert path.with_name("moved").read_bytes() == content
    assert not path.is_symlink()
    assert all(target.read_bytes() == b"" for target in path.parent.glob(".*.target"))
    assert ledger.counts().cooling == 4


def test_a_memo_that_is_lost_counts_as_used(path: Path) -> None:
    """A link in the place of the file that remembers a ledger counts as a lost ledger."""
    fresh(path)
    path.unlink()
    memo = path.parent / ".x.ledger.making"
    memo.unlink()
    memo.symlink_to("/dev/null")
    found = Ledger(path).configure(4, WINDOW, LONGEST)
    assert "found none" in found.damage
    assert Ledger(path).counts().cooling == 4


@pytest.mark.parametrize(
    "words",
    [
        {"FREE_HEAD": 10**9},
        {"FREE_HEAD": -7},
        {"FREE_HEAD": 2, "FREE_TAIL": 2},
        {"COOL_HEAD": 10**9, "COOL_TAIL": -3},
        {"FREE_COUNT": 99},
        {"RETIRED_COUNT": -50},
        {"BUSY": 77},
    ],
)
def test_lists_are_never_trusted_from_a_file(path: Path, words: dict[str, int]) -> None:
    """Whatever the lists of a file say, a start makes them from the slots."""
    ledger = fresh(path)
    ledger.settle((ledger.reserve(2, current_process()) or ())[:1], answered=True)
    poke(path, **words)
    fresh(path)
    counts = ledger.counts()
    assert (counts.free, counts.open, counts.cooling) == (2, 1, 1)
    assert len(ledger.reserve(2, current_process()) or ()) == 2
    assert ledger.reserve(1, current_process()) is None


@pytest.mark.parametrize(
    "form",
    [
        "empty",
        "short",
        "text",
        "zeros",
        "capacity too high",
        "limit 0",
        "limit too high",
        "window 0",
        "window too long",
    ],
)
def test_damage_under_the_hands(path: Path, form: str) -> None:
    """Who has the ledger mapped while it is cut or overwritten is told; nobody dies of it."""
    ledger = fresh(path)
    ledger.reserve(1, current_process())
    DAMAGE[form](path)
    with pytest.raises(LedgerDamaged):
        ledger.reserve(1, current_process())


def test_a_list_that_lies_under_the_hands(path: Path) -> None:
    """Lists that contradict the slots end the ledger at once.

    It is made again with every slot cooling.
    """
    ledger = fresh(path)
    tickets = ledger.reserve(1, current_process()) or ()
    poke(path, FREE_HEAD=tickets[0].slot)
    with pytest.raises(LedgerDamaged):
        ledger.reserve(1, current_process())
    with pytest.raises(LedgerDamaged):
        Ledger(path).reserve(1, current_process())
    assert ledger.configure(4, WINDOW, LONGEST).damage
    assert ledger.counts().cooling == 4


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_words_at_all(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever words are written into the file, only documented exceptions leave the ledger."""
    path = tmp_path_factory.mktemp("words") / "x.ledger"
    ledger = fresh(path)
    tickets: list[Ticket] = list(ledger.reserve(2, NOBODY) or ())
    ledger.settle(tickets[:1], answered=True)
    values = st.integers(-3, 6) | st.integers(-(2**63), 2**63 - 1) | st.just(now_ns())
    places = st.integers(0, Head.DURABLE) | st.integers(
        HEADER_WORDS, HEADER_WORDS + 4 * SLOT_WORDS - 1
    )
    for place, value in data.draw(st.lists(st.tuples(places, values), min_size=1, max_size=4)):
        with open(path, "r+b") as file:
            file.seek(place * WORD)
            file.write(struct.pack("q", value))
    acts: dict[str, Callable[[], object]] = {
        "reserve": lambda: tickets.extend(ledger.reserve(1, NOBODY) or ()),
        "settle": lambda: ledger.settle(tickets, answered=False),
        "refund": lambda: ledger.refund(tickets),
        "claim": lambda: ledger.claim(tickets, NOBODY),
        "reap": ledger.reap,
        "relax": ledger.release_cooled,
        "counts": ledger.counts,
        "wait": lambda: ledger.wait_s(3),
        "close": lambda: ledger.close_for(3),
        "configure": lambda: ledger.configure(4, WINDOW, LONGEST),
    }
    for act in data.draw(st.lists(st.sampled_from(sorted(acts)), max_size=6)):
        with suppress(LedgerDamaged, LedgerBusy):
            acts[act]()
    ledger.configure(4, WINDOW, LONGEST)
    whole(ledger, 4)


def test_trailing_bytes(path: Path) -> None:
    """Bytes after the last slot, as many as there may be, are no damage."""
    fresh(path)
    with open(path, "ab") as file:
        file.write(b"abc")
    assert fresh(path, 6).counts().free == 6


def test_removed_while_it_is_used(path: Path) -> None:
    """A ledger that was removed admits nothing more.

    The next one begins with every slot cooling.
    """
    ledger = fresh(path)
    ledger.reserve(2, current_process())
    path.unlink()
    with pytest.raises(FileNotFoundError):
        ledger.reserve(1, current_process())
    found = Ledger(path).configure(4, WINDOW, LONGEST)
    assert found.created
    assert "found none" in found.damage
    assert ledger.reserve(1, current_process()) is None
    assert ledger.counts().cooling == 4


def test_replaced_while_it_is_used(path: Path, tmp_path: Path) -> None:
    """Everybody follows when another ledger is put in the place of the one that they use."""
    ledger = fresh(path)
    assert ledger.reserve(3, current_process())
    fresh(tmp_path / "y.ledger", 1)
    os.rename(tmp_path / "y.ledger", path)
    assert ledger.counts().limit == 1


def test_no_directory_and_no_permission(tmp_path: Path) -> None:
    """What cannot be opened or made is an OSError, of every method.

    So is a file in the place of the directory of the ledgers: one made again would not know of
    those that were there.
    """
    (tmp_path / "file").write_text("")
    ledger = Ledger(tmp_path / "file" / "x.ledger")
    for act in (
        ledger.reap,
        ledger.counts,
        ledger.release_cooled,
        ledger.wait_s,
        lambda: ledger.configure(1, 1, 1),
    ):
        with pytest.raises(OSError, match=r"x\.ledger|file"):
            act()
