"""What authors of tasks import from `warren` itself."""

from __future__ import annotations

import sys

import warren
from support.wait import run_to_end

#: Done in a process of its own, in which nobody has used a name yet.
FRESH = """
import warren
assert not set(warren.__all__) & set(vars(warren))
print(*sorted(set(warren.__all__) & set(dir(warren))))
from warren import *
print(quota.__module__, progress.__module__, NoAllowance.__module__)
print(report_progress.__module__)
"""


def test_each_name_is_listed_before_its_first_use() -> None:
    """A shell that completes names, and `from warren import *`, find all of them.

    None of them is loaded by that.
    """
    said = run_to_end([sys.executable, "-c", FRESH], capture_output=True, check=True).stdout
    assert said.splitlines() == [
        "Busy LockLost NoAllowance once progress publish_file quota report_progress unique",
        "warren.quotas.client warren.tasks.progress warren.quotas.client",
        "warren.tasks.progress",
    ]


def test_another_name_is_none() -> None:
    """What nobody has is an AttributeError, as of any module."""
    assert not hasattr(warren, "allowance")
