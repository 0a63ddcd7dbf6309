"""Links to the files that tasks have published: signed, and valid for a while."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
import time
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from pathlib import Path
from typing import IO
from urllib.parse import quote

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from warren.errors import CannotWrite
from warren.system.private_directory import make_closed
from warren.tasks.published_files import checked_name, directory_of, published
from warren.web.refusals import Refused

_KEY_BYTES = 32
_PART = 256 * 1024  # bytes that are read at once


class Links:
    """The links to the files of tasks.

    lifetime: seconds for which a link is valid, by the wall clock.
    """

    def __init__(
        self, state_dir: Path, lifetime: float, now: Callable[[], float] = time.time
    ) -> None:
        self._state_dir, self._now = state_dir, now
        self.lifetime = lifetime
        self._key = _key(state_dir / "web" / "link-key")

    def of(self, task_id: str) -> list[dict[str, object]]:
        """Return name, size and link of each file that the task has published."""
        until = int(self._now() + self.lifetime)
        return [
            {"name": each.name, "size": each.size, "url": self._link(task_id, each.name, until)}
            for each in published(self._state_dir, task_id)
        ]

    def open(self, task_id: str, name: str, until: str, signature: str) -> IO[bytes]:
        """Return the file of a link. Raises Refused."""
        wanted = self._signature(task_id, name, until)
        if not hmac.compare_digest(wanted.encode(), signature.encode("utf-8", "replace")):
            raise Refused(HTTPStatus.FORBIDDEN, "this link was not made here, or was changed")
        if not until.isdecimal() or int(until) < self._now():
            raise Refused(HTTPStatus.GONE, "this link is no longer valid; ask for the task again")
        try:
            path = directory_of(self._state_dir, task_id) / checked_name(name)
            # Neither a link nor a pipe that a task has put there.
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            raise Refused(HTTPStatus.NOT_FOUND, "this file is no longer kept") from None
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise Refused(HTTPStatus.NOT_FOUND, "this file is no longer kept")
        return os.fdopen(file, "rb")

    def _link(self, task_id: str, name: str, until: int) -> str:
        signature = self._signature(task_id, name, str(until))
        path = f"/files/{quote(task_id, safe='')}/{quote(name, safe='')}"
        return f"{path}?until={until}&signature={signature}"

    def _signature(self, task_id: str, name: str, until: str) -> str:
        text = "\0".join((task_id, name, until)).encode("utf-8", "replace")
        return hmac.new(self._key, text, "sha256").hexdigest()


async def download(request: Request) -> Response:
    """Answer with the file of a link. The link needs no token: it is the right to this file."""
    links: Links = request.app.state.entrance.links
    given = request.query_params
    task_id, name = request.path_params["task"], request.path_params["name"]
    file = links.open(task_id, name, given.get("until", ""), given.get("signature", ""))
    size = os.fstat(file.fileno()).st_size
    headers = {
        "Content-Length": str(size),
        # Never shown by the browser: a file may hold a script.
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    left = size if request.method == "GET" else 0  # a HEAD wants the headers alone
    return StreamingResponse(_parts(file, left), 200, headers, "application/octet-stream")


async def _parts(file: IO[bytes], left: int) -> AsyncIterator[bytes]:
    """Yield the first `left` bytes of the file, which may grow meanwhile."""
    with file:
        while part := await to_thread.run_sync(file.read, min(_PART, left)):
            left -= len(part)
            yield part


def _key(path: Path) -> bytes:
    """Return the key that signs links; make it at the first start. Raises CannotWrite."""
    try:
        make_closed(path.parent)
        try:
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            key = path.read_bytes()
            if len(key) == _KEY_BYTES:
                return key
            path.unlink()  # a kill or a full disk has left a part: old links are no longer valid
            return _key(path)
        with os.fdopen(made, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        return path.read_bytes()
    except OSError as error:
        raise CannotWrite(f"cannot use {path}: {error.strerror}; look at its owner") from error
