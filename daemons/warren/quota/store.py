"""The ledger's file: made whole or not at all, recognised or set aside, taken over after a boot, grown in place."""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
from pathlib import Path

from warren.process import boot
from warren.quota.layout import HEADER_WORDS, MAGIC, NIL, SLOT_WORDS, VERSION, WORD, Head, Slot, State
from warren.quota.slots import Slots


class LedgerDamaged(Exception):
    """The file is not a ledger that this version can trust; the text says what is wrong with it."""


def size(capacity: int) -> int:
    """Bytes of a ledger with `capacity` slots."""
    return (HEADER_WORDS + capacity * SLOT_WORDS) * WORD


def boot_word() -> int:
    """A signed 64-bit name of this boot."""
    return int.from_bytes(hashlib.sha256(boot().encode()).digest()[:8], "little", signed=True)


def create(path: Path, capacity: int, window: int, longest_call: int, cooling_until: int = 0) -> None:
    """Makes a ledger of `capacity` slots at `path` in one step, over what may stand there. Times in ns.

    Every slot cools until `cooling_until`; 0 means that no call was made yet. Errors: OSError, and the folder is as it was.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        # Allocated, not sparse: a disk that fills later cannot make a store into the mapped file fail.
        os.posix_fallocate(fd, 0, size(capacity))
        with mmap.mmap(fd, size(capacity)) as memory:
            words = memoryview(memory).cast("q")
            words[Head.MAGIC], words[Head.VERSION], words[Head.CAPACITY] = MAGIC, VERSION, capacity
            words[Head.BOOT] = boot_word()
            words[Head.LIMIT], words[Head.WINDOW], words[Head.LONGEST_CALL] = capacity, window, longest_call
            words[Head.FREE_HEAD] = words[Head.COOL_HEAD] = words[Head.COOL_TAIL] = NIL
            # Far from any serial of a ledger that stood here before, so that no old ticket fits a new reservation.
            words[Head.SERIAL] = secrets.randbits(60)
            words[Head.HIGH_WATER] = capacity if cooling_until else 0
            words[Head.BUSY] = 1  # whoever attaches first builds the lists
            for slot in range(capacity):
                words[HEADER_WORDS + slot * SLOT_WORDS + Slot.UNTIL] = cooling_until
            words.release()
            memory.flush()
        os.fsync(fd)
        os.rename(fresh, path)
        sync_folder(path.parent)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def set_aside(path: Path, now: int) -> Path:
    """Keeps a damaged ledger under another name for people to look at; `path` itself stays until `create` replaces it."""
    aside = path.with_name(f"{path.name}.damaged-{now}")
    # A second name, not a move: killed before the new ledger is there, the next start must find damage, not nothing.
    os.link(path, aside)
    return aside


def attach(fd: int) -> mmap.mmap:
    """Maps the file of `fd`. Raises LedgerDamaged when its header is not that of a ledger."""
    length = os.fstat(fd).st_size
    if length < size(1):
        raise LedgerDamaged(f"expected at least {size(1)} bytes, found {length}")
    memory = mmap.mmap(fd, length)
    words = memoryview(memory).cast("q")
    problem = _header_problem(words, length)
    words.release()
    if problem:
        memory.close()
        raise LedgerDamaged(problem)
    return memory


def examine(slots: Slots, horizon: int) -> None:
    """Looks at every slot; raises LedgerDamaged for a state that does not exist or a time later than `horizon` (ns)."""
    if slots.words[Head.BOOT] != boot_word():
        horizon = 0  # times of another boot say nothing: `take_over` does not use them
    for slot in range(int(slots.words[Head.CAPACITY])):
        state, until = slots.get(slot, Slot.STATE), slots.get(slot, Slot.UNTIL)
        if state not in (State.RESTING, State.OPEN, State.RETIRED):
            raise LedgerDamaged(f"expected a state of 0, 1 or 2 in slot {slot}, found {state}")
        if until < 0 or (horizon and until > horizon):
            raise LedgerDamaged(f"expected slot {slot} free by {horizon}, found {until}")


def take_over(slots: Slots, now: int) -> bool:
    """Makes a ledger of an earlier boot this boot's; False when it is this boot's already.

    What was in use then cools for a full window from now. After a power cut the file may be older than the last calls, but
    HIGH_WATER was on disk before that many slots were in use: as many cool, whichever they were.
    """
    words = slots.words
    if words[Head.BOOT] == boot_word():
        return False
    in_service = int(words[Head.CAPACITY] - words[Head.RETIRED_COUNT])
    listed = in_service - int(words[Head.FREE_COUNT])
    unknown = int(words[Head.CAPACITY]) if words[Head.BUSY] else max(listed, int(words[Head.HIGH_WATER]))
    until = now + int(words[Head.WINDOW]) + int(words[Head.LONGEST_CALL])
    # BUSY first and BOOT last: killed in between, the next one finds the lists unsure and lets every slot cool.
    words[Head.BUSY] = 1
    for slot in range(int(words[Head.CAPACITY])):
        slots.put(slot, Slot.UNTIL, until if slot < unknown else 0)
        slots.put(slot, Slot.STATE, State.RESTING)
    words[Head.CLOSED_UNTIL] = 0
    words[Head.BOOT] = boot_word()
    slots.rebuild(now)
    return True


def sync_folder(folder: Path) -> None:
    """Makes the folder's entries durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


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
    if words[Head.WINDOW] < 1 or words[Head.LONGEST_CALL] < 0:
        return f"expected a window above 0, found {words[Head.WINDOW]} ns"
    return ""
