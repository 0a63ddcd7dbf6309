"""What to do about an error of a broker."""

from __future__ import annotations

import pytest

from warren.broker.remedies import beginning, remedy


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("Connection.open: (530) NOT_ALLOWED - vhost shop not found", "rabbitmqctl add_vhost shop"),
        (
            "Connection.open: (530) NOT_ALLOWED - access to vhost 'warren' refused for user 'anna'",
            "rabbitmqctl set_permissions -p warren anna '.*' '.*' '.*'",
        ),
        (
            (
                "Queue.declare: (403) ACCESS_REFUSED - access to queue 'x' in vhost 'warren' "
                "refused for user 'anna'"
            ),
            "rabbitmqctl set_permissions -p warren anna CONFIGURE WRITE READ",
        ),
        (
            (
                "(0, 0): (403) ACCESS_REFUSED - Login was refused using authentication mechanism "
                "PLAIN."
            ),
            "correct user and password",
        ),
        ("Queue.declare: (404) NOT_FOUND - no queue 'pages' in vhost '/'", "which declares pages"),
        (
            "WRONGPASS invalid username-password pair or user is disabled.",
            "correct user and password",
        ),
        ("NOAUTH Authentication required.", "redis://:PASSWORD@HOST"),
        ("[Errno -3] Temporary failure in name resolution", "correct the host"),
        (
            "[Errno 13] Permission denied: '/var/lib/warren/rejected'",
            "give /var/lib/warren/rejected, and the directory",
        ),
        ("[Errno 111] Connection refused", "start the broker"),
        ("", "start the broker"),
    ],
)
def test_the_remedy_fits_the_refusal(text: str, advice: str) -> None:
    """Each refusal has the command or the edit that helps.

    Only for a broker that does not answer the remedy is to start it.
    """
    assert advice in remedy(text)
    assert (beginning(text) == "the broker does not answer: ") == ("start the broker" in advice)


def test_a_closed_file_of_this_host_is_not_put_on_the_broker() -> None:
    """A directory of dead letters that the suite may not use is named as this host's.

    The broker answers, and refuses nothing.
    """
    assert (
        beginning("[Errno 13] Permission denied: '/var/lib/warren/rejected'")
        == "a file of this host is closed to the suite: "
    )
    assert beginning("(403) ACCESS_REFUSED - Login was refused") == "the broker refuses: "
