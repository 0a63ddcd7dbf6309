"""Results, checked when they are read: the server may hold anything in the place of a result.

Celery reads the fields of a result without a check. A field that Celery cannot read raises any kind
of error. And Celery makes the exception in a result from any class that is loaded, even from a
class that ends the process of the caller who asks for the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from celery.backends.base import COMPRESSED_PAYLOAD_MAGIC
from celery.exceptions import BackendError
from celery.result import result_from_tuple
from celery.states import EXCEPTION_STATES, FAILURE, PROPAGATE_STATES
from kombu.exceptions import EncodeError

from warren.broker.decompression import unpacked
from warren.broker.nesting_depth import is_shallow
from warren.logs.formatter import safe_text
from warren.logs.line_limit import cut

#: The most bytes of a result. Redis keeps as many under one key.
LARGEST = 512 * 2**20
#: The most characters of the reason why a result cannot be read.
_LONGEST = 300
#: The most characters of an exception's arguments in a result.
_EXCEPTION = 64_000


class UnreadableResult(BackendError):
    """The content in the place of a task's result is not a result.

    The worker's log says how the task has ended.
    """


class TooLargeResult(EncodeError):
    """The result is too large to keep, so its task has failed."""


class Checked:
    """The checks that all result backends of Warren share."""

    app: Any

    def decode(self, payload: Any) -> Any:
        """Decode as Celery does, with a limit for compressed content. Raises UnreadableResult."""
        try:
            payload = _unpacked(
                payload, self.app.conf.broker_transport_options.get("largest_message")
            )
            return super().decode(payload)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001  a decoder may raise any error for foreign bytes
            raise unreadable(error) from None

    def meta_from_decoded(self, meta: Any) -> dict[str, Any]:
        """Read the fields as Celery does. Raises UnreadableResult when the fields are not a
        result's.
        """
        try:
            _check(meta)
            for child in meta.get("children") or ():
                result_from_tuple(child, self.app)
            return super().meta_from_decoded(meta)  # type: ignore[misc,no-any-return]
        except UnreadableResult:
            raise
        except Exception as error:  # noqa: BLE001
            # Any error: the sender of a result chooses the class of its exception.
            raise unreadable(error) from None

    def exception_to_python(self, exc: Any) -> Any:
        """Convert as Celery does, except for an exception that would end the caller's process.

        SystemExit and KeyboardInterrupt are such exceptions.
        """
        made = super().exception_to_python(exc)  # type: ignore[misc]
        if made is None or isinstance(made, Exception):
            return made
        return RuntimeError(safe_text(made)[:_LONGEST])

    def _get_result_meta(
        self, result: Any, state: str, traceback: Any, request: Any, **options: Any
    ) -> dict[str, Any]:
        """Return what Celery returns, but with the text of an exception cut.

        The text may hold everything that the task has read.
        """
        meta: dict[str, Any] = super()._get_result_meta(  # type: ignore[misc]
            result, state, traceback, request, **options
        )
        if isinstance(meta.get("traceback"), str):
            meta["traceback"] = cut(meta["traceback"], _EXCEPTION)
        if (
            state in EXCEPTION_STATES
            and isinstance(meta.get("result"), dict)
            and "exc_message" in meta["result"]
        ):
            meta["result"] = {
                **meta["result"],
                "exc_message": _bounded(meta["result"]["exc_message"]),
            }
        return meta


class CheckedKeys(Checked):
    """The same checks, for backends that keep each result under a key of its own."""

    #: Called with the error that keeps this process from storing a result, or with None after a
    #: result was stored.
    waiting: ClassVar[Callable[[BaseException | None], None]] = staticmethod(lambda error: None)

    def on_backend_retryable_error(self, exc: BaseException) -> None:
        """Report why Celery has to store a result again."""
        CheckedKeys.waiting(exc)
        super().on_backend_retryable_error(exc)  # type: ignore[misc]

    def _store_result(self, task_id: str, *arguments: Any, **options: Any) -> Any:
        """Store as Celery does.

        Celery reads the old content first. Old content that is not a result is removed.
        """
        try:
            return super()._store_result(task_id, *arguments, **options)  # type: ignore[misc]
        except UnreadableResult:
            self.delete(self.get_key_for_task(task_id))  # type: ignore[attr-defined]
            return super()._store_result(task_id, *arguments, **options)  # type: ignore[misc]

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        try:
            meta: dict[str, Any] = super()._get_task_meta_for(task_id)  # type: ignore[misc]
            # The caller would wait for ever for the result of its task.
            if meta.get("task_id", task_id) != task_id:
                raise UnreadableResult(
                    "expected the result of this task, found another task's result"
                )
        except UnreadableResult as error:
            raise UnreadableResult(f"the result of {task_id} cannot be read: {error}") from None
        return meta


def _bounded(arguments: Any) -> Any:
    """Return the arguments of an exception; if they are long, only the beginning of their text."""
    shown = repr(arguments)
    return (
        arguments
        if len(shown) <= _EXCEPTION
        else [f"{shown[:_LONGEST]}... ({len(shown)} characters)"]
    )


def check_size(content: str | bytes) -> None:
    """Raise TooLargeResult for a result that no reader would accept."""
    if len(content) > LARGEST:
        problem = f"expected a result of at most {LARGEST} bytes, found {len(content)}"
        raise TooLargeResult(f"{problem}; keep the result in a file, and return the file's name")


def failed(task_id: str, error: UnreadableResult) -> dict[str, Any]:
    """Return a failure in the place of a task's result, because the result cannot be read.

    A caller that waits for the result gets this failure's error.
    """
    raised = UnreadableResult(f"the result of {task_id} cannot be read: {error}")
    return {
        "task_id": task_id,
        "status": FAILURE,
        "result": raised,
        "traceback": None,
        "children": [],
    }


def _check(meta: Any) -> None:
    if not isinstance(meta, dict):
        raise UnreadableResult("expected an object with the fields of a result")
    if not isinstance(meta.get("status"), str):
        raise UnreadableResult("expected a status that is a text")
    if "result" not in meta:
        raise UnreadableResult("expected the field result")
    if not isinstance(meta.get("task_id"), str | None) or not isinstance(
        meta.get("traceback"), str | None
    ):
        raise UnreadableResult("expected a task_id and a traceback that are texts")
    if not isinstance(meta.get("children"), list | tuple | None):
        raise UnreadableResult("expected children that are a list")
    if meta["status"] in EXCEPTION_STATES and not isinstance(
        meta["result"], BaseException | dict | None
    ):
        raise UnreadableResult("expected an exception")
    if meta["status"] in PROPAGATE_STATES and not meta["result"]:
        raise UnreadableResult("expected the exception that the task has ended with")
    if not is_shallow(meta.get("children") or []):
        raise UnreadableResult("expected children that are not nested so deeply")


def _unpacked(payload: Any, most: int | None) -> Any:
    """Return the payload uncompressed, up to the size limit of a message. Raises ValueError."""
    content = payload.tobytes() if isinstance(payload, memoryview) else payload
    if (
        most is None
        or not isinstance(content, bytes | bytearray)
        or not content.startswith(COMPRESSED_PAYLOAD_MAGIC)
    ):
        return payload
    name, _, body = bytes(content[len(COMPRESSED_PAYLOAD_MAGIC) :]).partition(b"\0")
    return unpacked(body, name.decode("utf-8", "replace"), most)


def unreadable(error: Exception) -> UnreadableResult:
    """Return the error for a result that a reader cannot read.

    The error never holds the whole content.
    """
    return UnreadableResult(safe_text(error)[:_LONGEST])
