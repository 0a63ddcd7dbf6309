"""What a process without a log tells its user."""

from __future__ import annotations

import sys
from pathlib import Path

from support.wait import run_to_end
from warren.logs.events import Event


def test_without_a_log_a_command_speaks_in_words() -> None:
    """A process without a log, such as `warren call`, prints an event as one line on stderr.

    The line has no password.
    """
    arguments = """
import logging
from warren.logs.events import Event
from warren.logs.setup import logger
logger().info(Event.READY)
logger().warning(Event.MESSAGES_RESTORED, queue="pages", url="amqp://u:secret77@host")
logging.getLogger("kombu").warning("lost %s", "one")
logging.getLogger("author").warning("got %d", "redis://:secret77@host")
try:
    raise ValueError("?api_token=secret77")
except ValueError:
    logging.getLogger("author").exception("at https://secret77@host")
"""
    done = run_to_end([sys.executable, "-c", arguments], capture_output=True, check=True)
    said = done.stderr.splitlines()
    assert "secret77" not in done.stderr
    assert "ValueError: ?api_token=***" in said
    assert said[:2] == [
        f"{Event.MESSAGES_RESTORED.meaning} (queue pages, url amqp://u:***@host)",
        "lost one",
    ]
    assert said[2].startswith("<string>:8: 'got %d' with ('redis://:***@host',): TypeError("), said[
        2
    ]


def test_an_argument_that_does_not_fit_shows_no_source(tmp_path: Path) -> None:
    """A line of source code may hold a password.

    It is named by file and number, and not quoted.
    """
    module = tmp_path / "logs_it.py"
    module.write_text(
        'import logging\nimport warren.logs.setup\nlogging.getLogger("author").warning("got %d", '
        '"redis://:secret77@host")\n'
    )
    done = run_to_end([sys.executable, str(module)], capture_output=True, check=True)
    assert "secret77" not in done.stderr
    assert done.stderr.splitlines() == [
        (
            f"{module}:3: 'got %d' with ('redis://:***@host',): TypeError('%d format: a real "
            "number is required, not str')"
        )
    ]
