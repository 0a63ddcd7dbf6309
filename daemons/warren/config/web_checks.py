"""Checks of [web] against the other sections. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from warren.config.settings import Settings
from warren.config.values import nearest
from warren.errors import Problem


def check(settings: Settings, declared: set[str]) -> Iterator[Problem]:
    """Yield the problems of [web]; `declared` are the names of all queues."""
    web = settings.web
    for queue in web.queues:
        if queue not in declared:
            expected = "declared queues"
            found, remedy = repr(queue), nearest(queue, declared)
            origin = settings.origin("web", "queues")
            yield Problem(origin, "web", "queues", expected, found, remedy)
    if not web.enabled:
        return
    if web.token_file is None:
        remedy = "make a file with lines NAME TOKEN (chmod 600), and name it here"
        expected = "a file with the tokens of the clients"
        yield Problem(settings.origin("web"), "web", "token_file", expected, "none", remedy)
    if _results_are_replies(settings):
        expected = "a Redis, because [web] enabled = true needs results that any process can read"
        option = "url_file" if settings.results.url_file else "url"
        origin = settings.origin("results", option)
        found = "rpc, which keeps a result for its sender"
        remedy = "set it to a Redis, or set [web] enabled = false"
        yield Problem(origin, "results", option, expected, found, remedy)


def _results_are_replies(settings: Settings) -> bool:
    """Return whether each result is a message to the process that has sent its task."""
    url = settings.results.url
    if url is None:
        return settings.broker.kind == "rabbitmq" and settings.results.url_file is None
    return url.get_secret_value().startswith("rpc")
