"""Task results as files of this host.

Celery's setting `result_backend` has the value
`warren.broker.embedded.file_results:Backend+file:///var/lib/warren/results` for them.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from contextlib import suppress

from celery.backends.filesystem import FilesystemBackend

from warren.broker.embedded.file_names import directory_name
from warren.broker.embedded.filesystem import write_whole
from warren.broker.result_validation import LARGEST, CheckedKeys, UnreadableResult, check_size
from warren.errors import CannotWrite
from warren.system.regular_file import NotRegular, TooLarge, make_directory, read_regular

#: Errors of a disk that pass: it is full, full for this user, or unreadable at the moment.
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class Backend(CheckedKeys, FilesystemBackend):
    """Celery's file backend with whole files.

    A reader sees a whole result or none, never half of a result.
    """

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None.

        Raises UnreadableResult when something other than a file has the path: a task may put a fifo
        there, and a read of the fifo would never end.
        """
        try:
            # Results are not forced to disk. A power cut may leave an empty file, which is not a
            # result.
            return read_regular(os.fsdecode(self._filename(key)), LARGEST)[0] or None
        except FileNotFoundError:
            return None
        except (NotRegular, TooLarge) as error:
            raise UnreadableResult(f"expected a file, found {error.strerror}") from None

    def set(self, key: bytes, value: str | bytes) -> None:
        """Store the value, in the place of any older value. Raises OSError or TooLargeResult."""
        path = os.fsdecode(self._filename(key))
        directory = os.fsdecode(self.path)
        content = value.encode() if isinstance(value, str) else value
        check_size(content)
        write_whole(path, f"{directory}/.{secrets.token_hex(8)}", content, durable=False)
        CheckedKeys.waiting(None)

    def _filename(self, key: bytes) -> bytes:
        """Return the path of a key's file.

        An id may hold characters that no file name can have, and may be longer than a file name.
        Each id has a file of its own.
        """
        return os.path.join(self.path, os.fsencode(directory_name(os.fsdecode(key))))

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Return whether the backend may try to store a result again after this error.

        Celery asks this when `always_retry` is set. A full disk gets space again, and a bad disk is
        repaired. Any other error would come again at each attempt, and would block a pool child for
        ever.
        """
        return isinstance(exc, OSError) and exc.errno in _PASSING

    def delete(self, key: bytes) -> None:
        """Remove the value if there is one."""
        with suppress(FileNotFoundError):
            super().delete(key)

    def cleanup(self) -> None:
        """Remove values that are older than `result_expires`, and the files of killed writers."""
        if not self.expires:
            return
        oldest = time.time() - float(self.expires)
        prefixes = (self.task_keyprefix, self.group_keyprefix, self.chord_keyprefix, b".")
        directory: bytes = self.path
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            with suppress(FileNotFoundError):  # another process may clean up at the same time
                if name.startswith(prefixes) and os.stat(path).st_mtime < oldest:
                    os.unlink(path)

    def _do_directory_test(self, key: bytes) -> None:
        # Celery's method writes a file to test the directory. On a full disk a worker could then
        # not even start.
        directory = os.fsdecode(self.path)
        try:
            make_directory(directory)
        except OSError as error:
            text = f"cannot use the directory of results {directory}: {error.strerror}"
            raise CannotWrite(f"{text}; look at what is at this path") from error
