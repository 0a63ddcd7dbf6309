"""Results on Redis: `result_backend = "warren.broker.redis.redis_results:Backend+redis://..."`."""

from __future__ import annotations

from typing import Any

from celery.backends import redis
from celery.states import PENDING
from redis.exceptions import ResponseError

from warren.broker.redis.write_refusal import is_refused_write
from warren.broker.result_validation import CheckedKeys, UnreadableResult, check_size
from warren.logs.events import Event
from warren.logs.setup import logger


class ResultConsumer(redis.ResultConsumer):
    """Celery's reader of announced results, which survives an announcement that is not a result."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._decode_result = self._announced

    def _announced(self, payload: Any) -> dict[str, Any]:
        """Return the announced result.

        For an announcement that is not a result, returns a result that changes nothing: the result
        itself is stored under its key.
        """
        try:
            meta: dict[str, Any] = self.backend.decode_result(payload)
            if not isinstance(meta.get("task_id"), str):
                raise UnreadableResult("expected a task_id that is a text")
        except UnreadableResult as error:
            logger().error(
                Event.RESULT_UNREADABLE,
                reason=str(error),
                consequence="the announcement is ignored",
            )
            return {"status": PENDING, "result": None, "task_id": ""}
        return meta


class Backend(CheckedKeys, redis.RedisBackend):
    """Celery's Redis backend, with checked results."""

    ResultConsumer = ResultConsumer

    def get(self, key: Any) -> Any:
        """Return the value under the key, or None.

        Raises UnreadableResult for a key of another type.
        """
        try:
            return super().get(key)
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
            raise UnreadableResult(
                "expected a key that holds a text, found another type of key"
            ) from None

    def set(self, key: Any, value: Any, **options: Any) -> Any:
        """Store as Celery does. Raises TooLargeResult."""
        check_size(value)
        stored = super().set(key, value, **options)
        CheckedKeys.waiting(None)
        return stored

    def exception_safe_to_retry(self, exc: Exception) -> bool:
        """Return whether the backend may try to store a result again after this error.

        That is also so while Redis takes no writes. Celery asks this when `always_retry` is set. A
        task that has run must not fail because of Redis: its message stays unacknowledged until its
        result is stored.
        """
        return is_refused_write(exc) or bool(super().exception_safe_to_retry(exc))
