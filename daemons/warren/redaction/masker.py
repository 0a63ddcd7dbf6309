"""The redaction of a text or value that may hold secrets, for settings, logs and messages alike.

Every step takes time in proportion to the text, whatever the text holds: a message or a task may
bring a hostile text. So no pattern here has a repetition that could be tried in several ways, and
each search continues where the search before has ended.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from warren.redaction import command_lines, token_shapes
from warren.redaction.command_lines import redact_commands
from warren.redaction.phrases import redact_phrases
from warren.redaction.quoted_values import CLOSING, PLAIN_END, end_of, quoted_at
from warren.redaction.secret_names import is_secret, is_secret_in_query
from warren.redaction.token_shapes import redact_keys
from warren.redaction.url_passwords import MASK, redact_urls

__all__ = ["MASK", "redact", "redact_texts", "redact_value", "suspicious"]

# A text without any of these parts, in lower case, holds nothing that the patterns below could
# find. Most texts have none, and this quick look is all that a log line costs.
_TRACES: tuple[str, ...] = (
    "://",
    ":\\/\\/",
    "%3a%2f%2f",
    "%3d",
    "key",
    "token",
    "pass",
    "auth",
    "secret",
    "pw",
    "sig",
    "sess",
    "cred",
)
_TRACES = (*_TRACES, "cookie", "jwt", "otp", "bearer", "basic", "eyj", "-u", "identified")
_TRACES += (*token_shapes.TRACES, *command_lines.TRACES, "phrase", "setuser", "jdbc:oracle")
_PRIVATE_KEY = re.compile(
    r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----).*?(-----END [A-Z0-9 "
    r"]{0,40}PRIVATE "
    r"KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_TOKEN = re.compile(r"\beyJ[\w-]++\.[\w-]++\.[\w-]*+")  # a JSON Web Token
# `Bearer` and `Basic` also begin sentences: a secret after them does not look like a word.
_SCHEME = re.compile(
    r"\b(Bearer|Basic)(\s{1,4})(?=[A-Za-z]*+[A-Z0-9._~+/=-])([A-Za-z0-9._~+/=-]{6,})", re.IGNORECASE
)
_LIKE_A_WORD = re.compile(r"[A-Z]?[a-z]+[.]?")

# Letters of a name may be percent-encoded: api%5Fkey. At the start of a form's text, only such a
# name counts.
_LETTER = r"[\w.\-\[\]]|%(?!3[df]|2[36])[0-9a-f]{2}"
_PARAMETER = re.compile(
    rf"(?:[?&#]|%3f|%26|%23|(?<![^\s\"'=:])(?=[\w.-]{{0,40}}%))((?:{_LETTER})++)(?:=|%3d)",
    re.IGNORECASE,
)
_PARAMETER_END = re.compile(rf"[\s&<>]|%26|{CLOSING}")

_STEM = re.compile(r"pass|pwd|pw|secret|token|cred|auth|cookie|sig|jwt|otp|key|sess", re.IGNORECASE)
# `api key: ...`, as two words.
_QUALIFIED = re.compile(
    r"(?<![a-z])(?:api|access|account|app|auth|client|encryption|license|master|private|secret"
    r"|security|service|session|shared|signing|ssh|subscription) \Z",
    re.IGNORECASE,
)
_NAME = re.compile(r"[\w.-]*+")
_NAME_CHARACTER = re.compile(r"[\w.-]")
_LONGEST_NAME = 80
_IS_NAME = re.compile(r"[\w .\[\]-]{1,80}")  # the key of a dictionary may be any text
_ASSIGNS = re.compile(r"\]?(\\*+[\"'])?\s{0,8}(=>|:=|==?|:(?!//)|%3[dD]|,)?\s{0,8}")
_WORD_END = re.compile(r"[\s\"']")
_LINE_END = re.compile(r"[\r\n\"']|\\[rn]")
_CLOSES = re.compile(CLOSING)
# A quote that begins a text follows one of these characters: response="..." in a header, {'token':
# ...}.
_BEFORE_QUOTE = re.compile(r"[\s=:,;({\[]")
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_PAIR_ENDS = re.compile(r"\s*+[)\]]")
_AUTH_SCHEME = re.compile(
    r"(?:Bearer|Basic|Digest|Token|Negotiate|NTLM|OAuth|Hawk|ApiKey|AWS4-[\w-]+)\s", re.IGNORECASE
)
#: Values that are no secrets: constants of a language, and words that follow a name and a colon in
#: an error message.
_HARMLESS = frozenset(
    ("none", "null", "true", "false", "is", "was", "not", "no", "the", "a", "an", "must", "cannot")
)
_HARMLESS |= {"expected", "required", "missing", "invalid", "nothing", "permission"}
_LONGEST_HARMLESS = 20
#: Largest number of characters of a text whose result is cached: the names of fields, events and
#: queues occur again in each line of a flood.
_SHORT = 64


def redact(text: str) -> str:
    """Return the text with each secret masked; a text without a secret is not changed."""
    return _redact_short(text) if len(text) <= _SHORT else _redact(text)


@lru_cache(maxsize=512)
def _redact_short(text: str) -> str:
    return _redact(text)


def _redact(text: str) -> str:
    if not suspicious(text):
        return text
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(rf"\1{MASK}\2", text)
    text = redact_commands(_TOKEN.sub(MASK, _assignments(_parameters(redact_urls(text)))))
    text = redact_keys(redact_phrases(text))
    return _SCHEME.sub(
        lambda found: (
            found[0] if _LIKE_A_WORD.fullmatch(found[3]) else f"{found[1]}{found[2]}{MASK}"
        ),
        text,
    )


def suspicious(text: str) -> bool:
    """Return quickly whether the text may hold a secret at all: False for most texts."""
    lowered = text.lower()
    return any(trace in lowered for trace in _TRACES) or (
        "=" in text and any(sign in text for sign in "?&#")
    )


def redact_texts(value: Any) -> Any:
    """Return a JSON-like value with redacted texts.

    Numbers and names stay, so the value keeps its shape for readers.
    """
    if isinstance(value, dict):
        return {key: redact_texts(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [redact_texts(each) for each in value]
    return redact(value) if isinstance(value, str) else value


def redact_value(value: Any, name: str = "") -> Any:
    """Return a JSON-like value without secrets in its texts and keys, and under secret names."""
    if isinstance(value, dict):
        shown = [
            (redact(key) if isinstance(key, str) else key, _named(key, name), each)
            for key, each in value.items()
        ]
        return {key: redact_value(each, inner) for key, inner, each in shown}
    if isinstance(value, list | tuple):
        if (
            len(value) == 2
            and isinstance(value[0], str)
            and _speaks(value[0])
            and isinstance(value[1], str)
        ):
            return [value[0], redact_value(value[1], value[0])]  # a header in a list of headers
        return [redact_value(each, name) for each in value]
    if value in (None, "") or isinstance(value, bool):
        return value
    if _speaks(name) and not (isinstance(value, int | float) and name.lower().endswith("tokens")):
        return MASK
    return redact(value) if isinstance(value, str) else value


def _named(key: Any, outer: str) -> str:
    """Return the name for a value of an object.

    Inside an object of secrets every value is a secret.
    """
    return str(key) if _speaks(str(key)) or not _speaks(outer) else outer


def _speaks(name: str) -> bool:
    return _IS_NAME.fullmatch(name) is not None and is_secret(name)


def _parameters(text: str) -> str:
    """Return the text without the values of secret parameters of URLs.

    Examples: ?api_token=..., #access_token=..., also with a second percent-encoding.
    """
    parts, done = [], 0
    while found := _PARAMETER.search(text, done):
        start = end = found.end()
        if is_secret_in_query(unquote(unquote(found[1]))):
            stop = _PARAMETER_END.search(text, start)
            end = stop.start() if stop else len(text)
        parts += [text[done:start], MASK if end > start else ""]
        done = end
    return "".join(parts) + text[done:]


def _assignments(text: str) -> str:
    """Return the text without the values that are assigned to names of secrets.

    Examples: password=..., "api_key": "...", Authorization: Bearer ..., --token ...
    """
    parts, done, look = [], 0, 0
    while found := _STEM.search(text, look):
        start, look = _name_start(text, found.start(), look), _name_end(text, found.end())
        known = is_secret(text[start:look]) or (
            found[0].lower() == "key" and _QUALIFIED.search(text, max(0, start - 16), start)
        )
        span = _assigned(text, start, look) if known else None
        if span is not None:
            parts += [text[done : span[0]], MASK]
            done = look = span[1]
            # The text behind the assumed end of the value may be a name of its own.
            if text[done : done + 1] in ("'", '"'):
                look = _name_start(text, done, span[0])
    return "".join(parts) + text[done:]


def _name_start(text: str, at: int, least: int) -> int:
    least = max(least, at - _LONGEST_NAME)
    while at > least and _NAME_CHARACTER.match(text, at - 1):
        at -= 1
    return at


def _name_end(text: str, at: int) -> int:
    found = _NAME.match(text, at)
    return found.end() if found else at


def _assigned(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Return the span of the value of the name at text[start:end]; None where there is none."""
    found = _ASSIGNS.match(text, end)
    if found is None or text.endswith("//", 0, start):  # the name is the user of a URL
        return None
    quoted, sign, at = found[1], found[2], found.end()
    # A parameter of a URL, which `_parameters` has handled.
    if sign in ("=", "%3D", "%3d") and text.endswith(("?", "&", "#"), 0, start):
        return None
    if not sign or sign == ",":
        # --password, or -password after a blank or a quote
        is_flag = (
            text.startswith("-", start)
            and (sign or at > end)
            and not text[max(0, start - 1) : start].isalnum()
        )
        if not is_flag and not (sign and quoted and _is_pair(text, start, quoted, at)):
            return None
        if is_flag and text.startswith("-", at):
            return None
    return _value(text, text[start:end], at)


def _is_pair(text: str, start: int, quoted: str, at: int) -> bool:
    """Return whether a bracket holds just two quoted texts, this one first: a header in a list."""
    before = text[max(0, start - len(quoted) - 2) : start - len(quoted)]
    value = quoted_at(text, at)
    return (
        before.endswith(("(", "[", "(b", "[b"))
        and value is not None
        and _PAIR_ENDS.match(text, value[1] + len(quoted)) is not None
    )


def _value(text: str, name: str, at: int) -> tuple[int, int] | None:
    lowered = name.lower()
    span = quoted_at(text, at)
    if span is None and (closing := _BRACKETS.get(text[at : at + 1])):
        if closing == "}" and "cookie" not in lowered:
            return None  # the values inside have names of their own
        end = text.find(closing, at)
        span = at + 1, end if end >= 0 else len(text)
    if span is None:
        # Before the search for its end, which may be the end of the text: nothing is masked then,
        # and the next name would search again.
        first = (
            text[at : end_of(_WORD_END, text, at, at + _LONGEST_HARMLESS)].rstrip(",.;:)]}").lower()
        )
        if first in _HARMLESS or (lowered.endswith("tokens") and first[:1].isdigit()):
            return None
        whole_line = "cookie" in lowered or ("authori" in lowered and _AUTH_SCHEME.match(text, at))
        span = at, _end_of_line(text, at) if whole_line else end_of(PLAIN_END, text, at)
    return span if span[1] > span[0] else None


def _end_of_line(text: str, at: int) -> int:
    """Return the end of the line, or of the quoted text around it, with the quoted texts in it."""
    while found := _LINE_END.search(text, at):
        stop = found.start()
        if found[0] not in ("'", '"') or _CLOSES.match(text, stop):
            return stop
        at = found.end()
        if _BEFORE_QUOTE.match(text[max(0, stop - 8) : stop].rstrip("\\")[-1:]):
            closing = text.find(found[0], at)
            if closing < 0:
                break  # the quoted text was cut off
            at = closing + 1
    return len(text)
