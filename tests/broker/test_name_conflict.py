"""Two suites of one name on one broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.suite import Suite, broker_section
from support.wait import until
from warren.app.factory import make_app
from warren.broker.name_conflict import AT_LEAST, GONE, NameConflict
from warren.config import load


@pytest.mark.parametrize("kind", ["amqp", "redis"])
def test_two_suites_of_one_name(request: pytest.FixtureRequest, scratch: Path, kind: str) -> None:
    """Each suite notices the other once it was there for long enough, and when it is gone.

    A suite of another name disturbs neither.
    """
    url = (
        request.getfixturevalue("rabbitmq").url
        if kind == "amqp"
        else request.getfixturevalue("redis_url")
    )
    app = make_app(load(Suite(scratch, broker_section(scratch, url)).etc))
    name = scratch.name
    one, two, third = NameConflict(name), NameConflict(name), NameConflict(f"{name}-2")
    with app.connection_for_write() as first, app.connection_for_write() as other:
        assert not one.seen(first, True, 0.0)
        with app.connection_for_write() as second:
            two.seen(second, True, 0.0)
            assert not third.seen(other, True, 0.0)
            assert not one.seen(first, False, 1.0)  # it may be a predecessor
            two.seen(second, False, 1.0)
            for second_of in range(2, int(AT_LEAST[kind]) + 10, 60):
                one.seen(first, False, float(second_of))
                two.seen(second, False, float(second_of))
            moment = AT_LEAST[kind] + 10
            assert one.seen(first, False, moment)
            assert two.seen(second, False, moment)
            assert not third.seen(other, False, moment)
        until(lambda: not one.seen(first, False, moment + GONE + 1), what="the other's end")
