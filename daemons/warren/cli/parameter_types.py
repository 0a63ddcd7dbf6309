"""Times and durations as the verbs take them on the command line."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import click

from warren.config.units import LONGEST, Unexpected, duration


class Moment(click.ParamType[datetime]):
    """A time in ISO 8601 with a time zone. A time without a zone would be ambiguous."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time. Fails with a usage error."""
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.fail(
                f"expected a time with its zone such as 2030-01-31T06:00:00Z, found {value!r}",
                param,
                ctx,
            )
        return moment


class Wait(click.ParamType[float]):
    """A duration as in the INI files. A number without a unit is in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds, more than 0. Fails with a usage error."""
        text = f"{value}s" if re.fullmatch(r"[0-9.]+", value) else value
        try:
            return duration(text, minimum=0.001, maximum=LONGEST)
        except Unexpected as error:
            self.fail(f"expected {error.expected}, found {value!r}", param, ctx)
