"""The validator: makes `Settings` of the files' content, section by section, with all problems."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from warren.config import celery_settings
from warren.config.option_types import kind as option_kind
from warren.config.queue_of_task import DEFAULT_QUEUE, EVERY_TASK
from warren.config.reader import Ini, Value
from warren.config.schedule_options import ScheduleSettings
from warren.config.schema import QueueSettings, WorkerSettings
from warren.config.settings import CELERY, KINDS, SectionKind, Settings
from warren.config.units import Unexpected, shown
from warren.config.values import entry_name, name, nearest
from warren.errors import Origin, Problem

_CONTINUED = "a line that begins with white space continues the value above it"
_COMMENT = re.compile(r"\s[#;]")


def build(ini: Ini, directory: Path, host: str) -> tuple[Settings, list[Problem]]:
    """Return the settings made of all that is valid, and the problems of the rest.

    In a worker section, and in a section without a name, a wrong option keeps its default. Any
    other section with a wrong option is left out.
    """
    problems: list[Problem] = []
    parts: dict[str, Any] = {kind.attribute: {} for kind in KINDS if kind.named}
    for section, values in ini.sections.items():
        if section == CELERY:
            parts[CELERY], found = celery_settings.read(values)
        else:
            found = _add_section(section, values, ini.headers[section], parts)
        problems += found
    _complete_queues(**{name: parts[name] for name in ("queues", "workers", "schedules")})
    origins = {(section, ""): origin for section, origin in ini.headers.items()}
    origins |= {
        (section, option): value.origin
        for section, values in ini.sections.items()
        for option, value in values.items()
    }
    return Settings(
        directory=directory, host=host, files=tuple(ini.files), origins=origins, **parts
    ), problems


def hinted(problem: Problem, ini: Ini) -> Problem:
    """Return the problem with a remedy that follows from the value's text, if there is one.

    There is one when the text has a comment after the value, or is a list without commas.
    """
    value = ini.sections.get(problem.section, {}).get(problem.option)
    if value is None or value.origin != problem.origin:
        return problem
    if _COMMENT.search(value.text):
        return replace(problem, remedy="a comment needs a line of its own")
    if not problem.remedy and "\n" not in value.text and " " in value.text and _is_list(problem):
        return replace(problem, remedy="separate names by commas")
    return problem


def _is_list(problem: Problem) -> bool:
    model = next(
        (each.model for each in KINDS if each.word == problem.section.partition(":")[0]), None
    )
    field = model.model_fields.get(problem.option) if model else None
    return field is not None and option_kind(field).form.startswith("list of")


def _add_section(
    section: str, values: dict[str, Value], header: Origin, parts: dict[str, Any]
) -> list[Problem]:
    word, colon, own_name = section.partition(":")
    kind = next((each for each in KINDS if each.word == word and each.named == bool(colon)), None)
    if kind is None:
        return [_unknown_section(section, header)]
    if kind.named:
        try:
            (entry_name if kind.word == "schedule" else name)(own_name)
        except Unexpected as error:
            return [Problem(header, section, "", error.expected, error.found)]
        if kind.word == "queue" and own_name.startswith("amq."):
            return [
                Problem(
                    header,
                    section,
                    "",
                    "a name of your own",
                    "one that begins with amq., as RabbitMQ's do",
                )
            ]
    problems: list[Problem] = []
    try:
        model = kind.model.model_validate({option: value.text for option, value in values.items()})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        problems = [_field_problem(kind, section, values, header, each) for each in found]
        if kind.named and kind.word != "worker":  # such a section may lack an option that it needs
            return problems
        wrong = {str(each["loc"][0]) for each in found}
        model = kind.model.model_validate(
            {option: value.text for option, value in values.items() if option not in wrong}
        )
    if kind.named:
        parts[kind.attribute][own_name] = model
    else:
        parts[kind.attribute] = model
    return problems


def _field_problem(
    kind: SectionKind, section: str, values: dict[str, Value], header: Origin, error: ErrorDetails
) -> Problem:
    option = str(error["loc"][0])
    if error["type"] == "missing":
        help_text = kind.model.model_fields[option].description or ""
        return Problem(
            header,
            section,
            option,
            "this option",
            "it nowhere",
            f"add {option} = ... ({help_text})",
        )
    value = values[option]
    if error["type"] == "extra_forbidden":
        remedy = nearest(option, kind.model.model_fields)
        return Problem(
            value.origin, section, "", f"an option of [{kind.title}]", shown(option), remedy
        )
    cause = error.get("ctx", {}).get("error")
    remedy = _CONTINUED if "\n" in value.text else ""
    if isinstance(cause, Unexpected):
        return Problem(value.origin, section, option, cause.expected, cause.found, remedy)
    return Problem(value.origin, section, option, error["msg"], "another value", remedy)


def _unknown_section(section: str, header: Origin) -> Problem:
    word, colon, _ = section.partition(":")
    known = [kind.word for kind in KINDS] + [CELERY]
    if word in known:
        wants_name = not colon
        expected = f"[{word}:NAME]" if wants_name else f"[{word}]"
        return Problem(
            header,
            section,
            "",
            expected,
            f"[{section}]",
            "give it a name" if wants_name else "it has no name",
        )
    return Problem(
        header, section, "", "a known section", f"[{section}]", nearest(word.strip(), known)
    )


def _complete_queues(
    queues: dict[str, QueueSettings],
    workers: dict[str, WorkerSettings],
    schedules: dict[str, ScheduleSettings],
) -> None:
    named = {
        *(queue for worker in workers.values() for queue in worker.queues),
        *(entry.queue for entry in schedules.values()),
    }
    # On a shared broker the default queue may belong to another application. So it is not declared
    # when some queue takes every task and nothing names the default queue.
    if DEFAULT_QUEUE in named or not any(EVERY_TASK in queue.tasks for queue in queues.values()):
        queues.setdefault(DEFAULT_QUEUE, QueueSettings())
    for own_name, queue in queues.items():
        queues[own_name] = queue.model_copy(update={"binding_key": queue.binding_key or own_name})
