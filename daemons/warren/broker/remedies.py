"""The remedy for an error of a broker, chosen by the broker's own text. Pure."""

from __future__ import annotations

import re

#: The beginning of an error that says that a broker does not answer.
AWAY = "the broker does not answer: "
#: Not the broker's text: it names a file or directory of this host, such as the directory of dead
#: letters while RabbitMQ takes none.
_OWN_FILE = r"permission denied: '(?P<path>/[^']+)'"
_START = "start the broker, free its disk, or correct [broker] url"
_RESET = "rabbitmqctl change_password USER"
_LOGIN = (
    f"correct user and password in [broker] url, or set the password at the broker with {_RESET}"
)
#: The end of RabbitMQ's text about a user who lacks a right.
_REFUSED = r"refused for user '(?P<user>[^']+)'"
#: Texts of RabbitMQ and Redis, with their remedies. A remedy repeats the names in the text.
_KNOWN = (
    (
        r"vhost ['\"]?(?P<vhost>[^'\" ]+)['\"]? not found",
        "make the virtual host: rabbitmqctl add_vhost {vhost}; or correct the end of [broker] url",
    ),
    (
        r"access to vhost '(?P<vhost>[^']+)' refused for user '(?P<user>[^']+)'",
        "grant the right: rabbitmqctl set_permissions -p {vhost} {user} '.*' '.*' '.*'; "
        "if there is no such virtual host: rabbitmqctl add_vhost {vhost}",
    ),
    (
        rf"access to (?:queue|exchange|topic) .*in vhost '(?P<vhost>[^']+)' {_REFUSED}",
        "grant the right: rabbitmqctl set_permissions -p {vhost} {user} CONFIGURE WRITE READ",
    ),
    (
        r"user '(?P<user>[^']+)' can only connect via localhost",
        "make a user of your own: rabbitmqctl add_user NAME",
    ),
    (r"login was refused|access_refused", _LOGIN),
    (
        r"no (?:queue|exchange) '(?P<name>[^']+)'",
        "start a worker of these settings, which declares {name}, or correct the name",
    ),
    (
        r"wrongpass|invalid password|invalid username|authenticationerror",
        "correct user and password in [broker] url",
    ),
    (
        r"noauth|authentication required",
        "put the password into [broker] url: redis://:PASSWORD@HOST",
    ),
    (r"noperm|no permissions", "give the user of [broker] url the rights at Redis: ACL SETUSER"),
    (
        r"wrongtype",
        "something else writes to this database of Redis: look for a queue, unacked or "
        "unacked_index that is of another kind (redis-cli TYPE NAME), and rename it",
    ),
    (
        r"oom command not allowed|used memory >",
        "give Redis more memory (maxmemory), or run the tasks that wait",
    ),
    (
        r"misconf|readonly",
        "let Redis take writes: the disk and the replication of Redis say why it refuses writes",
    ),
    (
        r"name or service not known|name resolution|nodename nor servname",
        "correct the host in [broker] url",
    ),
    (_OWN_FILE, "give {path}, and the directory that it lies in, to the suite's user"),
    (r"certificate|ssl|tls", "correct the certificate, or the scheme of [broker] url"),
)


def remedy(text: str) -> str:
    """Return what to do about an error with this text."""
    for pattern, advice in _KNOWN:
        if found := re.search(pattern, text, re.IGNORECASE):
            return advice.format(**found.groupdict())
    return _START


def beginning(text: str) -> str:
    """Return the beginning of a line about an error with this text. The beginning says who has
    failed.

    Only a broker that does not answer has to be started.
    """
    if re.search(_OWN_FILE, text, re.IGNORECASE):
        return "a file of this host is closed to the suite: "
    return AWAY if remedy(text) == _START else "the broker refuses: "
