"""Generations of the settings: given out once they are accepted, and kept in each ledger with the terms that they brought."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from warren.config import Settings
from warren.quota.layout import MOST, WORD, Head
from warren.regular_file import open_regular


def accepted(settings: Settings, after: int = 0) -> Settings:
    """The settings with a generation of their own: above `after`, and above that of every ledger.

    The microsecond in which they were read orders them already, unless somebody has set the clock back.
    """
    generation = max(settings.generation, after + 1, latest(settings.app.state_dir) + 1)
    return settings.model_copy(update={"accepted": replace(settings.accepted, generation=generation)})


def latest(state_dir: Path) -> int:
    """The highest generation that a ledger has; 0 when there is none. Waits for no lock: it is one word. Raises nothing."""
    found = [0]
    for path in (state_dir / "quota").glob("*.ledger"):
        with suppress(OSError, struct.error):
            file = open_regular(path)
            try:
                found += struct.unpack("q", os.pread(file, WORD, Head.GENERATION * WORD))
            finally:
                os.close(file)
    return max(each for each in found if 0 <= each < MOST - 1)
