"""Shell patterns of task names: compares patterns with each other, without a list of tasks.

`overlap` and `covers` compare all names that tasks could have, not only the registered ones,
because their callers have no list of tasks:

- `section_checks` and `quota_queue_checks` run at each load of the settings. supervise, beat, the
  watchdog and most verbs load them and import no task module. `warren check` does import them, but
  must refuse exactly what a daemon would refuse. And a queue that two sections claim would be wrong
  with the next release of the task code, without any edit of the settings.
- `quotas_of_task.may_wait` says whether a queue may pause for a quota. The queue may hold messages
  of tasks that this worker does not know, from an older or a newer release: these must not wait.
- `watchdog/unconsumed_queues.py` runs in a daemon without task modules.

What needs the registered names, such as an entry that matches none of them, is in `task_checks`.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from fnmatch import fnmatchcase

_PRINTABLE = frozenset(string.printable)
#: The set of characters that fit at one position; None stands for any number of characters.
_Token = frozenset[str] | None


def is_pattern(text: str) -> bool:
    """Return whether the text can match more than the task of exactly that name."""
    return any(character in text for character in "*?[")


def matches(task: str, patterns: tuple[str, ...]) -> bool:
    """Return whether one of the patterns names or matches the task."""
    return any(task == each or fnmatchcase(task, each) for each in patterns)


def overlap(one: str, other: str) -> bool:
    """Return whether the name of some task could match both patterns."""
    first, second = list(_tokens(one, other)), list(_tokens(other, one))
    # meet[i][j]: whether some text matches both the rest of `first` from i on and the rest of
    # `second` from j on. The table is filled from the ends.
    meet = [[False] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i in range(len(first), -1, -1):
        for j in range(len(second), -1, -1):
            if i == len(first) or j == len(second):
                meet[i][j] = all(token is None for token in first[i:] + second[j:])
            elif (left := first[i]) is None or (right := second[j]) is None:
                meet[i][j] = meet[i + 1][j] or meet[i][j + 1]
            else:
                meet[i][j] = bool(left & right) and meet[i + 1][j + 1]
    return meet[0][0]


def covers(wide: str, narrow: str) -> bool:
    """Return whether every task that matches `narrow` also matches `wide`.

    Returns False in doubt. Only unusual patterns are doubtful.
    """
    outer, inner = list(_tokens(wide, narrow)), list(_tokens(narrow, wide))
    holds = [[False] * (len(inner) + 1) for _ in range(len(outer) + 1)]
    for i in range(len(outer), -1, -1):
        for j in range(len(inner), -1, -1):
            if i == len(outer) or j == len(inner):
                holds[i][j] = j == len(inner) and all(token is None for token in outer[i:])
            elif (left := outer[i]) is None:
                holds[i][j] = holds[i + 1][j] or holds[i][j + 1]
            else:
                right = inner[j]
                holds[i][j] = right is not None and right <= left and holds[i + 1][j + 1]
    return holds[0][0]


def _tokens(pattern: str, other: str) -> Iterator[_Token]:
    # A finite alphabet. It distinguishes all characters that one of the patterns distinguishes.
    alphabet = _PRINTABLE | set(pattern) | set(other)
    i = 0
    while i < len(pattern):
        end = _end_of_class(pattern, i)
        if end:
            yield frozenset(
                character for character in alphabet if fnmatchcase(character, pattern[i:end])
            )
        elif pattern[i] == "*":
            yield None
        else:
            yield alphabet if pattern[i] == "?" else frozenset(pattern[i])
        i = end or i + 1


def _end_of_class(pattern: str, start: int) -> int:
    """Return the index after a class such as [abc], [!abc] or []]; 0 if no class begins here.

    The rules are those of fnmatch.
    """
    if pattern[start] != "[":
        return 0
    first = start + 2 if pattern[start + 1 : start + 2] == "!" else start + 1
    return pattern.find("]", first + 1) + 1
