"""`warren web` against requests by its own description, requests that break it, and no HTTP."""

from __future__ import annotations

from pathlib import Path

from support.suite import Suite
from support.web_fuzz import described_requests, fuzzed, raw_requests, shown


def test_requests_by_its_own_description(suite: Suite, tmp_path: Path) -> None:
    """No answer of 500 or more, each as described; `scripts/bench web-fuzz` makes 10,000."""
    with fuzzed(suite) as web:
        found = described_requests(web, 500, 1, tmp_path)
    assert not found.wrong, f"{len(found.wrong)} answers, the first: {found.wrong[0]}"
    assert not found.server_errors, shown(found)
    assert found.statuses.total() >= 450, shown(found)
    assert {200, 202, 400, 404, 422} <= set(found.statuses), shown(found)


def test_requests_that_are_no_http(suite: Suite) -> None:
    """An answer of HTTP below 500, or none; and the log does not grow with them."""
    with fuzzed(suite) as web:
        found = raw_requests(web, 300, 1)
    assert not found.wrong, found.wrong[0]
    assert not found.server_errors, shown(found)
    assert {0, 400} <= set(found.statuses), shown(found)
    lines = [line for line in suite.log("web") if line["event"] != "web_sent"]
    assert len(lines) < 20, lines[-1]
