"""A quota of real daemons that is edited and reloaded under faults.

It is a short form of `scripts/bench reloads`.
"""

from __future__ import annotations

import random
from pathlib import Path

from support.edited_run import EditedRun
from support.figures import Figure

SECONDS = 25.0


def test_no_call_too_many_through_edits_and_faults(scratch: Path, figure: Figure) -> None:
    """Reloads while daemons are killed, stopped and frozen allow no call beyond the limit.

    The limit is that of the moment of the call.
    """
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    found = EditedRun(scratch, "", seed)(SECONDS)
    figure("calls beyond edited terms", f"{len(found.verdict.over)} of {found.verdict.calls}", "0")
    assert found.errors == []
    assert found.verdict.over == []
    assert found.verdict.calls > 0
    assert found.reloads.total() > 0
