"""What an option is: its type, how its text is read and written, its default and its help, declared in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from warren.config import units, urls, values
from warren.redaction import redact, redact_value

_SIZE_FORM = "size in B, kB, MB, GB, KiB, MiB or GiB"


@dataclass(frozen=True)
class Kind:
    """How the text of an option becomes its value and back; stands in the option's type annotation."""

    form: str  # as the documentation prints it, with the units
    parse: Callable[[str], Any]
    write: Callable[[Any], str] = str
    optional: bool = False

    def or_none(self) -> Kind:
        """The same, but an empty text means None."""
        return replace(self, optional=True)

    def read(self, value: object) -> object:
        """The value of a text; whatever is no text is taken to be a value already."""
        if not isinstance(value, str):
            return value
        return None if self.optional and not value else self.parse(value)

    def text(self, value: object) -> str:
        """The value as an INI file would hold it, with passwords masked."""
        return "" if value is None else self.write(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, handler(source))


class Section(BaseModel):
    """One section of the INI: frozen, and without options that it does not declare."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def option(default: Any, help: str) -> Any:  # noqa: A002 - it is what the operator reads
    """Declares an option; `...` as the default makes it required."""
    return Field(default, description=help)


def kind(field: FieldInfo) -> Kind:
    """How the text of this option is read and written."""
    return next(each for each in field.metadata if isinstance(each, Kind))


def duration(minimum: float = 0.0, maximum: float = units.LONGEST) -> Kind:
    """A time; the range is in seconds, both ends included."""
    return Kind("duration in ms, s, m, h or d", partial(units.duration, minimum=minimum, maximum=maximum), units.duration_text)


def whole(minimum: int = 0, maximum: int = 10**9) -> Kind:
    """A whole number, both ends included."""
    return Kind(f"whole number, {minimum} to {maximum}", partial(units.whole, minimum=minimum, maximum=maximum))


def bytes_of(minimum: int, maximum: int) -> Kind:
    """A size; the range is in bytes, both ends included."""
    return Kind(_SIZE_FORM, partial(units.size, minimum=minimum, maximum=maximum), units.size_text)


def choice(*known: str) -> Kind:
    """One of these words."""
    return Kind(_either(known), partial(values.choice, known=known))


def url(*schemes: str, several: bool = False) -> Kind:
    """A URL of one of these schemes, or nothing; it is kept as a secret. `several` may be tried in turn, separated by ';'."""
    return Kind(f"URL of {_either(schemes)}", partial(urls.url, schemes=schemes, several=several), _masked_secret).or_none()


def listed(form: str, parse: Callable[[str], tuple[str, ...]]) -> Kind:
    """A list, whose entries `parse` takes apart."""
    return Kind(form, parse, ", ".join)


def json_of(form: str, shape: type[list[Any]] | type[dict[str, Any]]) -> Kind:
    """JSON of that shape."""
    return Kind(form, partial(units.json_value, shape=shape), _masked_json)


BOOLEAN = Kind("true or false", units.boolean, lambda value: "true" if value else "false")
RATE = Kind("calls/window in s, m, h or d", units.rate)
SIZE = Kind(_SIZE_FORM, units.size, units.size_text)
PATH = Kind("absolute path", values.path)


def _either(known: tuple[str, ...]) -> str:
    return f"{', '.join(known[:-1])} or {known[-1]}"


def _masked_secret(value: SecretStr) -> str:
    return redact(value.get_secret_value())


def _masked_json(value: object) -> str:
    return units.json_text(redact_value(value))
