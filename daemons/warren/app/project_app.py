"""The Celery app of a project (`[app] celery`): imported, and then put under Warren's settings."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from copy import copy
from functools import reduce
from typing import Any

from celery import Celery, current_app
from celery.app.amqp import AMQP
from celery.app.defaults import NAMESPACES, flatten

from warren.app.project_source import MODULE, place_of
from warren.broker.rabbitmq.short_countdown import DueSoon
from warren.config import Settings, check_modules
from warren.config.advice import MADE_BY
from warren.config.refused_celery_settings import FIXED, REFUSED
from warren.config.task_checks import failure
from warren.errors import ConfigError, Origin, Problem

#: Settings that [celery] refuses but a project's app keeps: its modules are imported, its schedule
#: is sent.
_KEPT = ("imports", "include", "beat_schedule")
#: Settings that Warren replaces, but whose value in the project it uses (project_routes.py).
_USED = ("task_routes",)
#: The time zone of an app that has none and no UTC: that of the host.
LOCAL = "localtime"
#: Arguments of `Celery(...)` that set a setting with another name.
_ARGUMENTS = {"broker_url": "broker", "result_backend": "backend"}


def project_app(settings: Settings, begins: Callable[[str], object] = str) -> Celery:
    """Import the app that `[app] celery` names. Raises ConfigError."""
    module, _, path = (settings.app.celery or "").partition(":")
    add_path(settings)
    problems = check_modules(settings, begins, "celery", (module,))
    if problems:
        raise ConfigError(problems)
    try:
        found = reduce(getattr, path.split("."), sys.modules[module])
    except AttributeError:
        raise ConfigError([_problem(settings, f"no {path} in {module}")]) from None
    # The type is compared: isinstance would accept a proxy such as current_app.
    if not issubclass(type(found), Celery):
        kind = type(found).__name__
        raise ConfigError([_problem(settings, f"an object of type {kind} at {module}:{path}")])
    app: Celery = found
    try:
        own_settings(app)
    # The app's own configuration is code of the project, and may raise any error.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        raise ConfigError([_problem(settings, failure(error))]) from None
    setattr(app, MODULE, module)
    setattr(app, MADE_BY, True)
    return app


class Front(dict[str, Any]):
    """Warren's settings in the configuration of a project's app."""


def put_in_front(app: Celery, settings: dict[str, Any]) -> None:
    """Let these settings of Celery win over all that the project sets, now or later.

    An app's configuration is a chain of mappings: what is set goes behind this one.
    """
    maps = app.conf.maps
    maps[:] = [Front(settings), *(each for each in maps if not isinstance(each, Front))]


def own_settings(app: Celery) -> dict[str, Any]:
    """Return the settings that the project has made, and that are not Celery's defaults."""
    conf = app.conf
    maps = [each for each in conf.maps if not isinstance(each, Front)]
    own = type(conf)(maps[0], maps[1:], conf._keys, conf.prefix)
    return {
        name: own[name]
        for name, option in flatten(NAMESPACES)
        if name not in _KEPT and own[name] != option.default
    }


def add_path(settings: Settings) -> None:
    """Let this process import modules from [app] path."""
    directory = str(settings.app.path) if settings.app.path else ""
    if directory and directory not in sys.path:
        # The directory goes last, so that a module in it named `queue` breaks no other module. Such
        # a module is reported as a problem (config/shadowed_modules.py).
        sys.path.append(directory)


def _problem(settings: Settings, found: str) -> Problem:
    origin = settings.origin("app", "celery")
    return Problem(
        origin, "app", "celery", "a Celery app such as shop.celery:app (app = Celery(...))", found
    )


def adopt(app: Celery, classes: type[AMQP]) -> None:
    """Give the app what each app of Warren's has, and take away what the app has opened so far.

    Celery takes a class for its AMQP part only when an app is made, and takes no class for
    `send_task`. So this one object gets a subclass of its own as its class (Celery 5.5 to 5.7; a
    unit test checks it). When the project has used the pool or the backend at its import, they have
    the app's own settings. They are dropped, as Celery drops them after a fork.
    """
    if not isinstance(app, DueSoon):
        own = type(app)
        app.__class__ = type(own.__name__, (DueSoon, own), {})
    app.amqp_cls = classes
    made = vars(app).get("amqp")
    if made is not None:
        # In place: Celery may be in the middle of a call with this object, which has just read the
        # first setting.
        vars(made).clear()
        made.__class__ = classes
        made.__init__(app)
    for name, empty in (("_pool", None), ("_backend_cache", None), ("_local", threading.local())):
        setattr(app, name, empty)


def promised() -> dict[str, Any]:
    """Return the settings that Warren's promises need. They replace those of the project."""
    defaults = dict(flatten(NAMESPACES))
    refused = {
        name: copy(defaults[name].default)
        for name in REFUSED
        if name in defaults and name not in _KEPT
    }
    return refused | {name: value for name, (value, _) in FIXED.items()}


def overridden() -> Iterator[str]:
    """Yield a warning, with its place, for each setting of the project's app that has no effect.

    Call this after `project_app` has made the project's app the current app.
    """
    app: Celery = current_app._get_current_object()
    for name, value in sorted(own_settings(app).items()):
        if app.conf[name] == value or name in _USED:
            continue
        remedy = REFUSED.get(name) or FIXED.get(name, ("", ""))[1] or f"[celery] {name} is used"
        yield f"{_place(app, name)}: {name} of the app is not used: {remedy}"


def time_zone(app: Celery) -> str:
    """Return the time zone that the project's app has set itself, for its crontabs."""
    own = own_settings(app)
    return str(own.get("timezone") or ("UTC" if own.get("enable_utc", True) else LOCAL))


def _place(app: Celery, name: str) -> Origin:
    """Return the file and line that set this setting, as far as they can be found."""
    argument = rf"|\b{_ARGUMENTS[name]}\s*=" if name in _ARGUMENTS else ""
    return place_of(app, [rf"\b\w*{name}\b{argument}"])
