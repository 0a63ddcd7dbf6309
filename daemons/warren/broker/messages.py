"""The messages of the embedded broker: files that move between folders, one atomic rename a step.

    incoming/OWNER.N         being written by a publisher
    queues/QUEUE/NAME        ready
    unacked/OWNER/QUEUE/NAME taken by a process and not yet settled
    later/QUEUE/UNTIL.NAME   not ready before UNTIL (later.py)
    rejected/QUEUE/NAME      set aside

A message is in exactly one folder at any instant, so a process that is killed between any two instructions loses nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from functools import lru_cache
from itertools import count
from pathlib import Path

from warren.atomic_write import sync_folder
from warren.broker.disk import write_whole
from warren.broker.later import Later
from warren.broker.listing import Listing, names_in
from warren.broker.most_rejected import Bound
from warren.broker.names import folder_name, message_name, owner, returned_name
from warren.events import Event
from warren.log import get
from warren.regular_file import make_directory

#: Errors of opening a link, a socket or a folder: those of a device or a permission may pass.
_NO_FILE = (errno.ELOOP, errno.ENXIO, errno.EISDIR)


class NoQueue(Exception):
    """The queue does not exist."""


class Messages:
    """The message folders below `folder`. Safe to use by any number of processes and threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._incoming, self._queues = f"{folder}/incoming", f"{folder}/queues"
        self._unacked, self._rejected = f"{folder}/unacked", f"{folder}/rejected"
        self.later = Later(folder)
        self._bound = Bound(self._rejected)
        self._listings: dict[str, Listing] = {}
        self._serials = count()
        #: Messages that this process should have given back and could not (full disk): nobody else will while it lives.
        self._stranded: set[str] = set()
        #: The same of those that it should have rejected, and why, where nobody has told so yet.
        self._unrejected: dict[str, str] = {}

    def open(self) -> None:
        """Makes the folders. Raises OSError."""
        make_directory(self.folder)
        for path in (self._incoming, self._queues, self._unacked, self._rejected, f"{self.folder}/later"):
            make_directory(path)

    # -- publish -----------------------------------------------------------------------------------------------------

    def put(self, queue: str, content: bytes, durable: bool) -> None:
        """Adds a message at the end of the queue; `durable`: on disk when this returns. Raises NoQueue, OSError."""
        folder = f"{self._queues}/{folder_name(queue)}"
        try:
            self._add(folder, content, durable)
            if durable:
                sync_folder(folder)
        except FileNotFoundError as error:
            raise NoQueue(queue) from error
        except OSError as error:
            remedy = f"the message for queue {queue!r} was not stored: free space, or mend the folder"
            raise OSError(error.errno, f"{error.strerror}; {remedy}", str(self.folder)) from error

    def _add(self, folder: str, content: bytes, durable: bool) -> None:
        while True:
            temp = f"{self._incoming}/{owner()}.{next(self._serials)}.{id(self):x}"
            try:
                write_whole(f"{folder}/{message_name()}", temp, content, durable)
                return
            except FileNotFoundError:
                # The kernel looks the folder up and then uses it: in between it may have been renewed. Once more, then.
                if not (os.path.isdir(folder) and os.path.isdir(self._incoming)):
                    raise

    # -- take and settle ---------------------------------------------------------------------------------------------

    def take(self, queue: str) -> str | None:
        """Takes the first message for this process; its tag, or None when there is none. Raises OSError.

        The tag is where the message is kept until it is settled; no tag is ever used twice.
        """
        safe = folder_name(queue)
        listing = self._listings.get(safe) or self._listings.setdefault(safe, Listing(self.folder, safe))
        own = f"{owner()}/{safe}"
        while (name := listing.pop()) is not None:
            try:
                # Of several takers exactly one succeeds. It is this process's from here on, named so in the same instant.
                os.rename(f"{listing.folder}/{name}", f"{self._unacked}/{own}/{name}")
                return f"{own}/{name}"
            except FileNotFoundError:
                if not os.path.isdir(f"{self._unacked}/{own}"):
                    listing.push(name)
                    make_directory(f"{self._unacked}/{own}", to=f"{self.folder}/unacked-{own}")
                # else somebody else took it: on to the next
        return None

    def read(self, tag: str, most: int | None = None) -> bytes:
        """The content of a taken message. Raises ValueError for more than `most` bytes, and for what is no file, OSError."""
        try:
            # What stands in a queue's folder may be anything: a fifo that nobody writes to must not hold up the main loop.
            handle = os.open(f"{self._unacked}/{tag}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            raise ValueError(f"expected a message, found no file: {error.strerror}") from None
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("expected a message, found no regular file")
            if most is not None and status.st_size > most:
                raise ValueError(f"expected a message of at most {most} bytes with its headers, found {status.st_size}")
            with open(handle, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(handle)

    def ack(self, tag: str) -> None:
        """Done: the message is removed. Nothing happens to one that was settled or given back before."""
        with suppress(FileNotFoundError):
            os.unlink(f"{self._unacked}/{tag}")

    def give_back(self, tag: str) -> bool:
        """Puts a taken message back to its place in the queue, counted; False when it was not there to give.

        Its queue deleted meanwhile, it is set aside. Raises OSError; then it is tried again by `retry_stranded`.
        """
        try:
            returned = self._give_back(tag)
        except OSError:
            self._stranded.add(tag)
            raise
        self._stranded.discard(tag)
        return returned

    def _give_back(self, tag: str) -> bool:
        _, safe, name = tag.split("/")
        returned = returned_name(name)
        try:
            os.rename(f"{self._unacked}/{tag}", f"{self._queues}/{safe}/{returned}")
        except FileNotFoundError:
            if not os.path.exists(f"{self._unacked}/{tag}"):
                return False  # settled, or given back by somebody else who saw its taker dead
            if os.path.isdir(f"{self._queues}/{safe}"):  # renewed in that instant
                return self._give_back(tag)
            self.set_aside(tag, "its queue was deleted")
            return True
        if listing := self._listings.get(safe):
            listing.push(returned)
        return True

    def reject(self, tag: str) -> None:
        """Moves a taken message to the rejected ones, where it stays until somebody looks.

        What cannot be moved (full disk) stays taken, and is tried again by `retry_stranded`: in its queue it would come
        again at once.
        """
        self._try_to_reject(tag, "")

    def _try_to_reject(self, tag: str, reason: str) -> None:
        try:
            self._reject(tag, reason)
        except OSError as error:
            if not self._unrejected:
                consequence = "it is nobody's until the disk takes it"
                get().error(Event.CANNOT_KEEP, reason=str(error), consequence=consequence)
            self._unrejected[tag] = reason

    def _reject(self, tag: str, reason: str) -> None:
        _, safe, name = tag.split("/")
        make_directory(f"{self._rejected}/{safe}", to=f"{self.folder}/rejected-{safe}")
        with suppress(FileNotFoundError):  # settled before
            os.rename(f"{self._unacked}/{tag}", f"{self._rejected}/{safe}/{name}")
        self._bound.added(0)
        if reason:
            get().error(Event.MESSAGE_REJECTED, reason=reason, path=f"{self._rejected}/{safe}/{name}")

    def keep_rejected(self, tag: str, content: bytes) -> None:
        """Puts `content` among the rejected ones, on disk when this returns, in the place of the taken message. Raises OSError.

        The message itself stays until it is acknowledged: killed in between, it comes again and is rejected once more.
        """
        _, safe, name = tag.split("/")
        folder = f"{self._rejected}/{safe}"
        make_directory(folder, to=f"{self.folder}/rejected-{safe}")
        temp = f"{self._incoming}/{owner()}.{next(self._serials)}.{id(self):x}"
        write_whole(f"{folder}/{name}", temp, content, durable=True)
        sync_folder(folder)
        self._bound.added(len(content))

    def set_aside(self, tag: str, reason: str) -> None:
        """Rejects a message that no consumer has seen, and says so, once that is done."""
        self._try_to_reject(tag, reason)

    def retry_stranded(self) -> int:
        """Gives back, and rejects, what could not be before; how many messages came back. Raises OSError."""
        done = 0
        for tag, reason in list(self._unrejected.items()):
            try:
                if tag.startswith(f"{owner()}/"):
                    self._reject(tag, reason)
            except OSError:
                break  # told already
            del self._unrejected[tag]
        for tag in list(self._stranded):
            if tag.startswith(f"{owner()}/"):
                done += self.give_back(tag)
            else:  # inherited over a fork, or of a dead process: not this one's to give
                self._stranded.discard(tag)
        return done

    # -- the queue as a whole ------------------------------------------------------------------------------------------

    def size(self, queue: str) -> int:
        """Messages ready in the queue; 0 when there is no such queue."""
        return len(names_in(f"{self._queues}/{folder_name(queue)}"))

    def forget(self, queue: str) -> None:
        """Drops what this process remembers of a queue that it consumes no more."""
        self._listings.pop(folder_name(queue), None)

    def purge(self, queue: str) -> int:
        """Removes what is ready in the queue; how many messages."""
        purged = 0
        folder = f"{self._queues}/{folder_name(queue)}"
        for name in names_in(folder):
            with suppress(FileNotFoundError):  # taken by a consumer just now
                os.unlink(f"{folder}/{name}")
                purged += 1
        return purged


@lru_cache
def messages_in(folder: Path) -> Messages:
    """The one `Messages` of this process for that folder: all its connections share what is known of the queues."""
    return Messages(folder)
