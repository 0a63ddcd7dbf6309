"""The exchanges of the embedded broker. Each is a small file with its type and its bindings.

Every process reads these files.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

from warren.broker.embedded.file_names import directory_name, owner
from warren.broker.embedded.filesystem import Glance, write_whole
from warren.broker.embedded.routing import KINDS, Binding
from warren.system.atomic_write import sync_directory
from warren.system.regular_file import NotRegular, TooLarge, make_directory, move_away, read_regular

#: The most bytes of a table. A table of a hundred thousand bindings has fewer.
_LARGEST = 1 << 24


class Table(NamedTuple):
    """The name, type and bindings of an exchange."""

    name: str
    kind: str
    bindings: tuple[Binding, ...] = ()


class Damaged(OSError):
    """The file in the place of a table is not a table.

    This is an error of the connection. So when the table cannot be repaired, workers wait and try
    again.
    """


class Exchanges:
    """The tables below `directory`.

    Reading needs no lock, because a table is replaced as a whole. Writers hold the broker's lock.
    """

    def __init__(self, directory: Path) -> None:
        self._directory, self._incoming, self._above = (
            f"{directory}/exchanges",
            f"{directory}/incoming",
            f"{directory}",
        )
        self._known: dict[str, tuple[Glance, Table]] = {}
        self._serials = count()

    def open(self) -> None:
        """Make the directory. Raises OSError."""
        make_directory(self._directory)

    def get(self, name: str) -> Table | None:
        """Return the exchange as it is now; None when it is not declared.

        Raises OSError, also its subclass Damaged.
        """
        path = self._path(name)
        known = self._known.get(name)
        glance = known[0] if known else Glance(path)
        if glance.unchanged() and known:
            return known[1]
        table = _read(path)
        if table is not None and table.name != name:
            raise Damaged(
                errno.EIO, f"damaged exchange table (the file is the table of {table.name!r})", path
            )
        if table is None:
            self._known.pop(name, None)
        else:
            self._known[name] = (glance, table)
        return table

    def put(self, table: Table) -> None:
        """Replace the exchange's table. The new table is on disk when this returns.

        Raises OSError, and then the old table stays.
        """
        content = json.dumps(
            {"name": table.name, "type": table.kind, "bindings": table.bindings}, indent=1
        ).encode()
        temp = f"{self._incoming}/{owner()}.{next(self._serials)}.{id(self):x}"
        write_whole(self._path(table.name), temp, content, durable=True)
        sync_directory(self._directory)

    def remove(self, name: str) -> None:
        """Remove the exchange. Its queues stay."""
        Path(self._path(name)).unlink(missing_ok=True)

    def move_away(self, name: str, damage: Damaged) -> None:
        """Move a damaged table out of the directory of the tables. Raises OSError."""
        with suppress(FileNotFoundError):
            move_away(
                self._path(name),
                f"{damage.strerror}",
                to=f"{self._above}/exchange-{directory_name(name)}",
            )

    def all(self) -> Iterator[Table]:
        """Return every exchange whose table is sound.

        A damaged table is repaired when its exchange is used next.
        """
        for safe in os.listdir(self._directory):
            with suppress(Damaged):
                table = _read(f"{self._directory}/{safe}")
                if table is not None:
                    yield table

    def _path(self, name: str) -> str:
        return f"{self._directory}/{directory_name(name)}"


def _read(path: str) -> Table | None:
    try:
        found = json.loads(read_regular(path, _LARGEST)[0])
        bindings = tuple(Binding(str(key), str(queue)) for key, queue in found["bindings"])
        table = Table(str(found["name"]), str(found["type"]), bindings)
        if table.kind not in KINDS:
            raise ValueError(table.kind)
    except FileNotFoundError:
        return None
    except (NotRegular, TooLarge, ValueError, TypeError, KeyError, RecursionError) as error:
        raise Damaged(errno.EIO, f"damaged exchange table ({error})", path) from error
    return table
