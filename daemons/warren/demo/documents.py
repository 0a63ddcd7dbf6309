"""The documents that the API serves: real files that every machine with Python has."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_LICENCES = Path("/usr/share/common-licenses")
_NOT_OF_THE_LIBRARY = {"site-packages", "dist-packages", "test", "tests"}


@dataclass(frozen=True)
class Document:
    """A file as it was when the API started, so that its size and digest stay correct."""

    name: str
    body: bytes

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 digest of the body, in hexadecimal."""
        return hashlib.sha256(self.body).hexdigest()


def find() -> list[Document]:
    """Return licence texts, if the system has them, then sources of the Python standard library.

    These are several hundred documents, none of them empty. Their order is the same at every call
    on one machine.
    """
    library = Path(sysconfig.get_paths()["stdlib"])
    found = (Document(name, path.read_bytes()) for name, path in [*_licences(), *_sources(library)])
    return [document for document in found if document.body]


def _licences() -> Iterator[tuple[str, Path]]:
    if _LICENCES.is_dir():
        for path in sorted(_LICENCES.iterdir()):
            # A link is only a second name of a text that is already in the list.
            if path.is_file() and not path.is_symlink():
                yield path.name, path


def _sources(library: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(library.rglob("*.py")):
        name = path.relative_to(library)
        if path.is_file() and _NOT_OF_THE_LIBRARY.isdisjoint(name.parts):
            yield str(name), path
