"""Which answers and errors of the API are worth another try."""

from __future__ import annotations

import pytest

from warren.demo.api_calls import retry_in


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (200, {}, None),
        (404, {"Retry-After": "5"}, None),
        (429, {"Retry-After": "7"}, 7.0),
        (429, {}, 1.0),
        (429, {"Retry-After": "soon"}, 1.0),
        (500, {}, 1.0),
        (503, {"retry-after": "30"}, 30.0),
    ],
)
def test_only_an_answer_that_time_can_mend_is_tried_again(
    status: int, headers: dict[str, str], wait: float | None
) -> None:
    """A 429 or a 5xx is tried again when the provider says, or after a second.

    Any other answer is final.
    """
    assert retry_in(status, headers) == wait
