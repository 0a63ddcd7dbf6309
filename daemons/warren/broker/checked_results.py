"""Results as they are read: what stands in a result's place may be anybody's, and anything.

Celery takes the fields of a result as they come. What it cannot read raises whatever error that field leads to, and an
exception in it is made of any class that is loaded: one that ends the process of whoever asks, among others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from celery.backends.base import COMPRESSED_PAYLOAD_MAGIC
from celery.exceptions import BackendError
from celery.result import result_from_tuple
from celery.states import EXCEPTION_STATES, FAILURE, PROPAGATE_STATES
from kombu.exceptions import EncodeError

from warren.broker.nesting import is_shallow
from warren.broker.unpack import unpacked
from warren.log_length import cut
from warren.log_line import safe_text

#: Bytes of a result: as many as Redis keeps under one key.
LARGEST = 512 * 2**20
#: Characters of a reason.
_LONGEST = 300
#: Characters of an exception's arguments that a result holds.
_EXCEPTION = 64_000


class UnreadableResult(BackendError):
    """What stands in the place of a task's result is none. How the task has ended, the worker's log says."""


class TooLargeResult(EncodeError):
    """A result that cannot be kept: its task has failed."""


class Checked:
    """What Warren's result backends share."""

    app: Any

    def decode(self, payload: Any) -> Any:
        """As Celery's, with an end for what is compressed. Raises UnreadableResult."""
        try:
            payload = _unpacked(payload, self.app.conf.broker_transport_options.get("largest_message"))
            return super().decode(payload)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001  whatever a decoder meets in anybody's bytes
            raise unreadable(error) from None

    def meta_from_decoded(self, meta: Any) -> dict[str, Any]:
        """As Celery's. Raises UnreadableResult for what has not the fields of a result."""
        try:
            _check(meta)
            for child in meta.get("children") or ():
                result_from_tuple(child, self.app)
            return super().meta_from_decoded(meta)  # type: ignore[misc,no-any-return]
        except UnreadableResult:
            raise
        except Exception as error:  # noqa: BLE001  as above: the class of an exception is anybody's choice
            raise unreadable(error) from None

    def exception_to_python(self, exc: Any) -> Any:
        """As Celery's, but for exceptions that would end whoever asks for the result (SystemExit, KeyboardInterrupt)."""
        made = super().exception_to_python(exc)  # type: ignore[misc]
        if made is None or isinstance(made, Exception):
            return made
        return RuntimeError(safe_text(made)[:_LONGEST])

    def _get_result_meta(self, result: Any, state: str, traceback: Any, request: Any, **options: Any) -> dict[str, Any]:
        """As Celery's, with an end for what an exception says: it may recite all that its task has read."""
        meta: dict[str, Any] = super()._get_result_meta(result, state, traceback, request, **options)  # type: ignore[misc]
        if isinstance(meta.get("traceback"), str):
            meta["traceback"] = cut(meta["traceback"], _EXCEPTION)
        if state in EXCEPTION_STATES and isinstance(meta.get("result"), dict) and "exc_message" in meta["result"]:
            meta["result"] = {**meta["result"], "exc_message": _bounded(meta["result"]["exc_message"])}
        return meta


class CheckedKeys(Checked):
    """The same for backends that keep each result under a key."""

    #: Told what keeps this process from storing a result, or None when it has stored one.
    waiting: ClassVar[Callable[[BaseException | None], None]] = staticmethod(lambda trouble: None)

    def on_backend_retryable_error(self, exc: BaseException) -> None:
        """Celery tries again to store a result."""
        CheckedKeys.waiting(exc)
        super().on_backend_retryable_error(exc)  # type: ignore[misc]

    def _store_result(self, task_id: str, *arguments: Any, **options: Any) -> Any:
        """As Celery's, which looks at what is there before: what is no result gives way to this one."""
        try:
            return super()._store_result(task_id, *arguments, **options)  # type: ignore[misc]
        except UnreadableResult:
            self.delete(self.get_key_for_task(task_id))  # type: ignore[attr-defined]
            return super()._store_result(task_id, *arguments, **options)  # type: ignore[misc]

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        try:
            meta: dict[str, Any] = super()._get_task_meta_for(task_id)  # type: ignore[misc]
            if meta.get("task_id", task_id) != task_id:  # nobody would ever hear of the one that was asked for
                raise UnreadableResult("expected the result of this task, found another's")
        except UnreadableResult as error:
            raise UnreadableResult(f"the result of {task_id} cannot be read: {error}") from None
        return meta


def _bounded(arguments: Any) -> Any:
    """Return the arguments of an exception, or what they begin with where their text is long."""
    shown = repr(arguments)
    return arguments if len(shown) <= _EXCEPTION else [f"{shown[:_LONGEST]}... ({len(shown)} characters)"]


def check_size(content: str | bytes) -> None:
    """Raise TooLargeResult for a result that nobody would read."""
    if len(content) > LARGEST:
        raise TooLargeResult(
            f"expected a result of at most {LARGEST} bytes, found {len(content)}; keep it in a file, and return its name"
        )


def failed(task_id: str, error: UnreadableResult) -> dict[str, Any]:
    """Return the result of a task whose own cannot be read: whoever waits gets this error."""
    told = UnreadableResult(f"the result of {task_id} cannot be read: {error}")
    return {"task_id": task_id, "status": FAILURE, "result": told, "traceback": None, "children": []}


def _check(meta: Any) -> None:
    if not isinstance(meta, dict):
        raise UnreadableResult("expected an object with the fields of a result")
    if not isinstance(meta.get("status"), str):
        raise UnreadableResult("expected a status that is a text")
    if "result" not in meta:
        raise UnreadableResult("expected the field result")
    if not isinstance(meta.get("task_id"), str | None) or not isinstance(meta.get("traceback"), str | None):
        raise UnreadableResult("expected a task_id and a traceback that are texts")
    if not isinstance(meta.get("children"), list | tuple | None):
        raise UnreadableResult("expected children that are a list")
    if meta["status"] in EXCEPTION_STATES and not isinstance(meta["result"], BaseException | dict | None):
        raise UnreadableResult("expected an exception")
    if meta["status"] in PROPAGATE_STATES and not meta["result"]:
        raise UnreadableResult("expected the exception that the task has ended with")
    if not is_shallow(meta.get("children") or []):
        raise UnreadableResult("expected children that are not nested so deeply")


def _unpacked(payload: Any, most: int | None) -> Any:
    """Return the payload as it was before its compression, up to the limit of a message. Raises ValueError."""
    content = payload.tobytes() if isinstance(payload, memoryview) else payload
    if most is None or not isinstance(content, bytes | bytearray) or not content.startswith(COMPRESSED_PAYLOAD_MAGIC):
        return payload
    name, _, body = bytes(content[len(COMPRESSED_PAYLOAD_MAGIC) :]).partition(b"\0")
    return unpacked(body, name.decode("utf-8", "replace"), most)


def unreadable(error: Exception) -> UnreadableResult:
    """Return what to tell of a result at which a reader fails so; never the whole of what stands there."""
    return UnreadableResult(safe_text(error)[:_LONGEST])
