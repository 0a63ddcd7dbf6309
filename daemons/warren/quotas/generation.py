"""Generations of the settings: numbers that order them, kept in each ledger with its settings.

The number is assigned when the settings are accepted.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from warren.config import Settings
from warren.quotas.layout import MOST, WORD, Head
from warren.system.regular_file import open_regular


def accepted(settings: Settings, after: int = 0) -> Settings:
    """Return the settings with a generation of their own.

    The generation is above `after` and above the generation of every ledger. The microsecond in
    which the settings were read is such a number already, unless the clock was set back.
    """
    generation = max(settings.generation, after + 1, latest(settings.app.state_dir) + 1)
    return settings.model_copy(
        update={"accepted": replace(settings.accepted, generation=generation)}
    )


def latest(state_dir: Path) -> int:
    """Return the highest generation of any ledger; 0 when there is no ledger.

    Waits for no lock, because a ledger keeps its generation in one word. Raises nothing.
    """
    found = [0]
    for path in (state_dir / "quota").glob("*.ledger"):
        with suppress(OSError, struct.error):
            file = open_regular(path)
            try:
                found += struct.unpack("q", os.pread(file, WORD, Head.GENERATION * WORD))
            finally:
                os.close(file)
    return max(each for each in found if 0 <= each < MOST - 1)
