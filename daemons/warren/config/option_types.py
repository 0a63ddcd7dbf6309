"""The parts of an option's declaration: its type, its parser and writer, its default, its help
text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from warren.config import environment_variables, secret_options, units, urls, values

_SIZE_FORM = "size in B, kB, MB, GB, KiB, MiB or GiB"


@dataclass(frozen=True)
class Kind:
    """The conversion between an option's text and its value; part of the option's annotation."""

    form: str  # as the documentation prints it, with the units
    parse: Callable[[str], Any]
    write: Callable[[Any], str] = str
    optional: bool = False

    def or_none(self) -> Kind:
        """Return this kind, changed so that an empty text means None."""
        return replace(self, optional=True)

    def read(self, value: object) -> object:
        """Return the value of a text.

        Anything that is not a text is already a value, and is returned unchanged.
        """
        if not isinstance(value, str):
            return value
        return None if self.optional and not value else self.parse(value)

    def text(self, value: object) -> str:
        """Return the value as an INI file would hold it, with its passwords masked."""
        return "" if value is None else self.write(value)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, handler(source))


class Section(BaseModel):
    """One section of the INI file. It is frozen, and refuses options that it does not declare."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def option(default: Any, help: str) -> Any:  # noqa: A002 - the word that operators read
    """Declare an option.

    default: `...` makes the option required.
    """
    return Field(default, description=help)


def kind(field: FieldInfo) -> Kind:
    """Return how the text of this option is read and written."""
    return next(each for each in field.metadata if isinstance(each, Kind))


def duration(minimum: float = 0.0, maximum: float = units.LONGEST) -> Kind:
    """Return the kind of a duration.

    minimum, maximum: seconds, both included.
    """
    return Kind(
        "duration in ms, s, m, h or d",
        partial(units.duration, minimum=minimum, maximum=maximum),
        units.duration_text,
    )


def whole(minimum: int = 0, maximum: int = 10**9) -> Kind:
    """Return the kind of a whole number in this range, both ends included."""
    return Kind(
        f"whole number, {minimum} to {maximum}",
        partial(units.whole, minimum=minimum, maximum=maximum),
    )


def bytes_of(minimum: int, maximum: int) -> Kind:
    """Return the kind of a size.

    minimum, maximum: bytes, both included.
    """
    return Kind(_SIZE_FORM, partial(units.size, minimum=minimum, maximum=maximum), units.size_text)


def choice(*known: str) -> Kind:
    """Return the kind of an option that takes one of these words."""
    return Kind(_either(known), partial(values.choice, known=known))


def url(*schemes: str, several: bool = False) -> Kind:
    """Return the kind of a URL that has one of these schemes, or is empty. The URL is kept as a
    secret.

    several: whether the option takes several URLs, separated by ';', which are tried in turn.
    """
    return Kind(
        f"URL of {_either(schemes)}",
        partial(urls.url, schemes=schemes, several=several),
        secret_options.url_text,
    ).or_none()


def listed(form: str, parse: Callable[[str], tuple[str, ...]]) -> Kind:
    """Return the kind of a list.

    parse: splits the text into entries.
    """
    return Kind(form, parse, ", ".join)


def json_of(form: str, shape: type[list[Any]] | type[dict[str, Any]]) -> Kind:
    """Return the kind of a JSON text. `shape` is the type of its value: list or dict."""
    return Kind(form, partial(units.json_value, shape=shape), secret_options.masked_json)


_PATH = Kind("absolute path", values.path)

#: The types that several options share.
Flag = Annotated[
    bool, Kind("true or false", units.boolean, lambda value: "true" if value else "false")
]
CallRate = Annotated[units.Rate, Kind("calls/window in s, m, h or d", units.rate)]
Size = Annotated[int, Kind(_SIZE_FORM, units.size, units.size_text)]
Percent = Annotated[int, whole(0, 100)]
Names = Annotated[tuple[str, ...], listed("list of names", values.names)]
Patterns = Annotated[tuple[str, ...], listed("list of task names or patterns", values.patterns)]
Duration = Annotated[float, duration()]
Directory = Annotated[Path, _PATH]
Variables = Annotated[
    dict[str, str],
    Kind("lines NAME=value", environment_variables.variables, secret_options.variables_text),
]
OptionalApp = Annotated[str | None, Kind("module:app", values.app_name).or_none()]
OptionalPath = Annotated[Path | None, _PATH.or_none()]


def _either(known: tuple[str, ...]) -> str:
    return f"{', '.join(known[:-1])} or {known[-1]}"
