"""The messages of the embedded broker: files that move between directories, one rename a step.

    incoming/OWNER.N         being written by a publisher
    queues/QUEUE/NAME        ready
    unacked/OWNER/QUEUE/NAME taken by a process and not yet settled
    later/QUEUE/UNTIL.NAME   not ready before UNTIL (delayed_messages.py)
    rejected/QUEUE/NAME      rejected

A message is in exactly one directory at any instant, so a process that is killed between any two
instructions loses nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from functools import lru_cache
from itertools import count
from pathlib import Path

from warren.broker.embedded.delayed_messages import Later
from warren.broker.embedded.file_names import directory_name, message_name, owner, returned_name
from warren.broker.embedded.filesystem import write_whole
from warren.broker.embedded.queue_listing import Listing, names_in
from warren.broker.rejection_limits import Bound
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.system.atomic_write import sync_directory
from warren.system.regular_file import make_directory

#: Errors of opening a link, a socket or a directory. An error of a device or of a permission may
#: pass by itself, so it is not among them.
_NO_FILE = (errno.ELOOP, errno.ENXIO, errno.EISDIR)


class NoQueue(Exception):
    """The queue does not exist."""


class Messages:
    """The message directories below `directory`.

    Any number of processes and threads may use them.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._incoming, self._queues = f"{directory}/incoming", f"{directory}/queues"
        self._unacked, self._rejected = f"{directory}/unacked", f"{directory}/rejected"
        self.later = Later(directory)
        self._bound = Bound(self._rejected)
        self._listings: dict[str, Listing] = {}
        self._serials = count()
        #: Messages that this process should have requeued but could not (full disk). No other
        #: process will requeue them while this process lives.
        self._stranded: set[str] = set()
        #: Messages that this process should have rejected but could not, each with its reason when
        #: the reason is not logged yet.
        self._unrejected: dict[str, str] = {}

    def open(self) -> None:
        """Make the directories. Raises OSError."""
        make_directory(self.directory)
        for path in (
            self._incoming,
            self._queues,
            self._unacked,
            self._rejected,
            f"{self.directory}/later",
        ):
            make_directory(path)

    # -- publish -----------------------------------------------------------------------------------

    def put(self, queue: str, content: bytes, durable: bool) -> None:
        """Add a message at the end of the queue. Raises NoQueue and OSError.

        A `durable` message is on disk when this returns.
        """
        directory = f"{self._queues}/{directory_name(queue)}"
        try:
            self._add(directory, content, durable)
            if durable:
                sync_directory(directory)
        except FileNotFoundError as error:
            raise NoQueue(queue) from error
        except OSError as error:
            remedy = (
                f"the message for queue {queue!r} was not stored: free space, or repair the "
                "directory"
            )
            raise OSError(
                error.errno, f"{error.strerror}; {remedy}", str(self.directory)
            ) from error

    def _add(self, directory: str, content: bytes, durable: bool) -> None:
        while True:
            temp = f"{self._incoming}/{owner()}.{next(self._serials)}.{id(self):x}"
            try:
                write_whole(f"{directory}/{message_name()}", temp, content, durable)
                return
            except FileNotFoundError:
                # The kernel first looks up the directory and then uses it. In between, another
                # process may have renewed the directory: then one more attempt succeeds.
                if not (os.path.isdir(directory) and os.path.isdir(self._incoming)):
                    raise

    # -- take and settle ---------------------------------------------------------------------------

    def take(self, queue: str) -> str | None:
        """Take the first message for this process; return its tag, None when there is no message.

        The tag is the path at which the message is kept until it is settled. No tag is used twice.
        Raises OSError.
        """
        safe = directory_name(queue)
        listing = self._listings.get(safe) or self._listings.setdefault(
            safe, Listing(self.directory, safe)
        )
        own = f"{owner()}/{safe}"
        while (name := listing.pop()) is not None:
            try:
                # Of several processes exactly one succeeds. From here on the message is this
                # process's, and its new path says so.
                os.rename(f"{listing.directory}/{name}", f"{self._unacked}/{own}/{name}")
                return f"{own}/{name}"
            except FileNotFoundError:
                if not os.path.isdir(f"{self._unacked}/{own}"):
                    listing.push(name)
                    make_directory(f"{self._unacked}/{own}", to=f"{self.directory}/unacked-{own}")
                # another process has taken this message, so the next name is tried
        return None

    def read(self, tag: str, most: int | None = None) -> bytes:
        """Return the content of a taken message. Raises ValueError or OSError.

        Raises ValueError for anything but a regular file, and for more than `most` bytes.
        """
        try:
            # Any kind of file may be in a queue's directory. A fifo without a writer must not block
            # the main loop.
            handle = os.open(
                f"{self._unacked}/{tag}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            raise ValueError(f"expected a message, found no file: {error.strerror}") from None
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("expected a message, found another kind of file")
            if most is not None and status.st_size > most:
                expected = f"expected a message of at most {most} bytes with its headers"
                raise ValueError(f"{expected}, found {status.st_size}")
            with open(handle, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(handle)

    def ack(self, tag: str) -> None:
        """Remove a message that is done. Does nothing when the message was settled or requeued
        before.
        """
        with suppress(FileNotFoundError):
            os.unlink(f"{self._unacked}/{tag}")

    def requeue(self, tag: str) -> bool:
        """Requeue a taken message at its old position, with its count of returns raised.

        Returns False when the message was no longer there. If its queue was deleted meanwhile, the
        message is rejected. Raises OSError, and then `retry_stranded` tries again.
        """
        try:
            returned = self._requeue(tag)
        except OSError:
            self._stranded.add(tag)
            raise
        self._stranded.discard(tag)
        return returned

    def _requeue(self, tag: str) -> bool:
        _, safe, name = tag.split("/")
        returned = returned_name(name)
        try:
            os.rename(f"{self._unacked}/{tag}", f"{self._queues}/{safe}/{returned}")
        except FileNotFoundError:
            if not os.path.exists(f"{self._unacked}/{tag}"):
                return False  # settled, or requeued by another process after the owner's death
            if os.path.isdir(f"{self._queues}/{safe}"):  # the directory was just renewed
                return self._requeue(tag)
            self.move_away(tag, "its queue was deleted")
            return True
        if listing := self._listings.get(safe):
            listing.push(returned)
        return True

    def reject(self, tag: str) -> None:
        """Move a taken message to the rejected ones, where it stays until an operator looks.

        A message that cannot be moved (full disk) stays taken, and `retry_stranded` tries it again:
        in its queue it would come again at once.
        """
        self._try_to_reject(tag, "")

    def _try_to_reject(self, tag: str, reason: str) -> None:
        try:
            self._reject(tag, reason)
        except OSError as error:
            if not self._unrejected:
                consequence = "no worker gets the message until the disk takes it"
                logger().error(Event.CANNOT_KEEP, reason=str(error), consequence=consequence)
            self._unrejected[tag] = reason

    def _reject(self, tag: str, reason: str) -> None:
        _, safe, name = tag.split("/")
        make_directory(f"{self._rejected}/{safe}", to=f"{self.directory}/rejected-{safe}")
        with suppress(FileNotFoundError):  # settled before
            os.rename(f"{self._unacked}/{tag}", f"{self._rejected}/{safe}/{name}")
        self._bound.added(0)
        if reason:
            logger().error(
                Event.MESSAGE_REJECTED, reason=reason, path=f"{self._rejected}/{safe}/{name}"
            )

    def keep_rejected(self, tag: str, content: bytes) -> None:
        """Put `content` among the rejected messages, in the place of the taken message.

        Raises OSError. The content is on disk when this returns. The message itself stays until it
        is acknowledged: if this process is killed in between, the message comes again and is
        rejected a second time.
        """
        _, safe, name = tag.split("/")
        directory = f"{self._rejected}/{safe}"
        make_directory(directory, to=f"{self.directory}/rejected-{safe}")
        temp = f"{self._incoming}/{owner()}.{next(self._serials)}.{id(self):x}"
        write_whole(f"{directory}/{name}", temp, content, durable=True)
        sync_directory(directory)
        self._bound.added(len(content))

    def move_away(self, tag: str, reason: str) -> None:
        """Reject a message that no consumer has seen, and log the rejection once it is done."""
        self._try_to_reject(tag, reason)

    def retry_stranded(self) -> int:
        """Try again to requeue and reject what failed before; return the number of requeued
        messages.

        Raises OSError.
        """
        done = 0
        for tag, reason in list(self._unrejected.items()):
            try:
                if tag.startswith(f"{owner()}/"):
                    self._reject(tag, reason)
            except OSError:
                break  # the failure is logged already
            del self._unrejected[tag]
        for tag in list(self._stranded):
            if tag.startswith(f"{owner()}/"):
                done += self.requeue(tag)
            else:  # inherited over a fork, or a dead process's: another process requeues it
                self._stranded.discard(tag)
        return done

    # -- the queue as a whole ----------------------------------------------------------------------

    def size(self, queue: str) -> int:
        """Return the number of ready messages in the queue; 0 when there is no such queue."""
        return len(names_in(f"{self._queues}/{directory_name(queue)}"))

    def forget(self, queue: str) -> None:
        """Forget what this process knows of a queue that it no longer consumes."""
        self._listings.pop(directory_name(queue), None)

    def purge(self, queue: str) -> int:
        """Remove the ready messages of the queue; return their number."""
        purged = 0
        directory = f"{self._queues}/{directory_name(queue)}"
        for name in names_in(directory):
            with suppress(FileNotFoundError):  # a consumer has just taken the message
                os.unlink(f"{directory}/{name}")
                purged += 1
        return purged


@lru_cache
def messages_in(directory: Path) -> Messages:
    """Return the only `Messages` object of this process for `directory`.

    All connections share what this object knows of the queues.
    """
    return Messages(directory)
