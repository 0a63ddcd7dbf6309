"""The file of a ledger: how it is created, recognised and invalidated."""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
from array import array
from pathlib import Path

from warren.quotas.layout import (
    HEADER_WORDS,
    MAGIC,
    MOST,
    SLOT_WORDS,
    VERSION,
    WORD,
    Head,
    Slot,
    State,
)
from warren.quotas.slots import Slots
from warren.system.atomic_write import sync_directory
from warren.system.process import boot
from warren.system.regular_file import NotRegular, open_regular, remove_any


class LedgerDamaged(Exception):
    """The file is not a ledger that this version can trust. The text says what is wrong."""


def size(capacity: int) -> int:
    """Return the bytes of a ledger with `capacity` slots."""
    return (HEADER_WORDS + capacity * SLOT_WORDS) * WORD


def boot_word() -> int:
    """Return a signed 64-bit word that identifies this boot."""
    return int.from_bytes(hashlib.sha256(boot().encode()).digest()[:8], "little", signed=True)


def create(
    path: Path,
    capacity: int,
    window: int,
    longest_call: int,
    cooling_until: int,
    aside: Path | None,
) -> None:
    """Create a ledger of `capacity` slots at `path` in one step, over any file that is there.

    path: the file. capacity: slots. window, longest_call: ns. cooling_until: the time until which
    every slot cools (ns of CLOCK_BOOTTIME); 0 means that no call was made yet. aside: a second name
    for the file that was at `path`. Raises OSError, and then leaves the directory as it was.
    """
    fresh = path.with_name(f".{path.name}.new")
    remove_any(fresh)  # left by a start that was killed here
    fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        # Allocated, not sparse: a disk that fills later cannot make a store into the mapped file
        # fail.
        os.posix_fallocate(fd, 0, size(capacity))
        with mmap.mmap(fd, size(capacity)) as memory:
            words = memoryview(memory).cast("q")
            _fill(words, capacity, window, longest_call, cooling_until)
            words.release()
            memory.flush()
        os.fsync(fd)
        if aside is not None and path.is_dir() and not path.is_symlink():
            # A directory cannot have a second name. When the process is killed after this rename,
            # the next start finds no ledger, and its memo says that there was one. In this case,
            # too, every slot counts as used.
            os.rename(path, aside)
        elif aside is not None:
            os.link(path, aside, follow_symlinks=False)
        os.rename(fresh, path)
        sync_directory(path.parent)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def _fill(
    words: memoryview, capacity: int, window: int, longest_call: int, cooling_until: int
) -> None:
    words[Head.MAGIC], words[Head.VERSION], words[Head.CAPACITY] = MAGIC, VERSION, capacity
    words[Head.BOOT] = boot_word()
    words[Head.LIMIT], words[Head.WINDOW], words[Head.LONGEST_CALL] = capacity, window, longest_call
    # The first serial is far from any serial of the former ledger, so that no old ticket fits a new
    # reservation.
    words[Head.SERIAL] = secrets.randbits(60)
    words[Head.HIGH_WATER] = capacity if cooling_until else 0
    words[HEADER_WORDS + Slot.UNTIL :: SLOT_WORDS] = memoryview(
        array("q", [cooling_until]) * capacity
    )
    words[Head.BUSY] = 1  # the first process that attaches the file builds the lists


def invalidate(path: Path) -> None:
    """Invalidate the ledger at `path` for every process that has it mapped.

    The file stays in place until `create` replaces it. Moving it away would be wrong: if this
    process is killed before the new ledger is there, the next start must find a damaged file, not
    an absent one.
    """
    try:
        file = open_regular(path, os.O_RDWR)
    except NotRegular:
        return  # no process has such a file mapped
    try:
        os.pwrite(file, bytes(WORD), 0)
    finally:
        os.close(file)


def attach(fd: int) -> mmap.mmap:
    """Map the file of `fd`. Raises LedgerDamaged when the header is not a ledger's."""
    length = os.fstat(fd).st_size // WORD * WORD
    if length < size(1):
        raise LedgerDamaged(f"expected at least {size(1)} bytes, found {length}")
    try:
        memory = mmap.mmap(fd, length)
    except ValueError as error:  # the file became shorter just now
        raise LedgerDamaged(f"expected {length} bytes, found fewer") from error
    words = memoryview(memory).cast("q")
    problem = _header_problem(words, length)
    words.release()
    if problem:
        memory.close()
        raise LedgerDamaged(problem)
    return memory


def examine(slots: Slots, horizon: int, closed_horizon: int) -> None:
    """Check every word. Raises LedgerDamaged for an unknown state or a time beyond its horizon.

    horizon: the latest sound end of a slot's cooling (ns). closed_horizon: the latest sound end of
    a pause (ns).
    """
    words = slots.words
    # Another process may have written since the file was attached.
    problem = _header_problem(words, len(words) * WORD)
    if problem:
        raise LedgerDamaged(problem)
    states, untils = slots.column(Slot.STATE).tolist(), slots.column(Slot.UNTIL).tolist()
    wrong = set(states) - set(State)
    if wrong:
        state = wrong.pop()
        raise LedgerDamaged(
            f"expected a state of 0, 1 or 2 in slot {states.index(state)}, found {state}"
        )
    # The times of another boot are not used, so they are not checked. When BUSY is set, a change of
    # the limit or window may have been cut off.
    bounded = words[Head.BOOT] == boot_word() and not words[Head.BUSY]
    for until in (min(untils), max(untils)):
        if until < 0 or (bounded and until > horizon):
            raise LedgerDamaged(
                f"expected slot {untils.index(until)} free by {horizon}, found {until}"
            )
    if words[Head.BOOT] == boot_word() and words[Head.CLOSED_UNTIL] > closed_horizon:
        raise LedgerDamaged(
            f"expected a pause until {closed_horizon} at most, found {words[Head.CLOSED_UNTIL]}"
        )


def _header_problem(words: memoryview, length: int) -> str:
    capacity = words[Head.CAPACITY]
    if words[Head.MAGIC] != MAGIC:
        return f"expected a ledger, found a file that begins with {words[Head.MAGIC]:#x}"
    if words[Head.VERSION] != VERSION:
        return f"expected format version {VERSION}, found {words[Head.VERSION]}"
    if capacity < 1 or size(capacity) > length:
        return f"expected room for {capacity} slots, found {length} bytes"
    if not 1 <= words[Head.LIMIT] <= capacity:
        return f"expected a limit of 1 to {capacity}, found {words[Head.LIMIT]}"
    if not (1 <= words[Head.WINDOW] < MOST and 0 <= words[Head.LONGEST_CALL] < MOST):
        found = f"{words[Head.WINDOW]} ns with calls of {words[Head.LONGEST_CALL]} ns"
        return f"expected a window above 0, found {found}"
    if not 0 <= words[Head.SERIAL] < MOST:
        return f"expected a serial of 0 or more, found {words[Head.SERIAL]}"
    if not 0 <= words[Head.GENERATION] < MOST:
        return f"expected settings of a generation of 0 or more, found {words[Head.GENERATION]}"
    if not 0 <= words[Head.DURABLE] <= words[Head.HIGH_WATER] <= capacity:
        found = f"{words[Head.HIGH_WATER]} ({words[Head.DURABLE]} on disk)"
        return f"expected a high-water mark of 0 to {capacity}, found {found}"
    return ""
