"""What may be shown of a text or value that may hold secrets: the one place that decides, for settings, logs and messages.

Every step takes time in proportion to the text, whatever stands in it: a message or a task may bring a hostile one. So no
pattern here has a repeat that could be tried in several ways, and each search goes on where the one before has ended.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from warren.redaction import command_lines, token_shapes
from warren.redaction.command_lines import redact_commands
from warren.redaction.phrases import redact_words
from warren.redaction.quoted_values import CLOSING, PLAIN_END, end_of, quoted_at
from warren.redaction.secret_names import is_secret, is_secret_in_query
from warren.redaction.token_shapes import redact_keys
from warren.redaction.url_passwords import MASK, redact_urls

__all__ = ["MASK", "redact", "redact_texts", "redact_value", "suspicious"]

# Of these parts, in lower case, a text needs one for anything below to find something in it. Most texts have none, and this
# quick look is all that a line of the log costs.
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
    r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----).*?(-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_TOKEN = re.compile(r"\beyJ[\w-]++\.[\w-]++\.[\w-]*+")  # a JSON Web Token
# `Bearer` and `Basic` begin sentences, too: what follows looks like no word of one.
_SCHEME = re.compile(r"\b(Bearer|Basic)(\s{1,4})(?=[A-Za-z]*+[A-Z0-9._~+/=-])([A-Za-z0-9._~+/=-]{6,})", re.IGNORECASE)
_LIKE_A_WORD = re.compile(r"[A-Z]?[a-z]+[.]?")

# Letters of the name itself may be percent-encoded: api%5Fkey. At the start of a form's text, only such a name is looked at.
_LETTER = r"[\w.\-\[\]]|%(?!3[df]|2[36])[0-9a-f]{2}"
_PARAMETER = re.compile(rf"(?:[?&#]|%3f|%26|%23|(?<![^\s\"'=:])(?=[\w.-]{{0,40}}%))((?:{_LETTER})++)(?:=|%3d)", re.IGNORECASE)
_PARAMETER_END = re.compile(rf"[\s&<>]|%26|{CLOSING}")

_STEM = re.compile(r"pass|pwd|pw|secret|token|cred|auth|cookie|sig|jwt|otp|key|sess", re.IGNORECASE)
# `api key: ...`, in two words.
_QUALIFIED = re.compile(
    r"(?<![a-z])(?:api|access|account|app|auth|client|encryption|license|master|private|secret|security|service"
    r"|session|shared|signing|ssh|subscription) \Z",
    re.IGNORECASE,
)
_NAME = re.compile(r"[\w.-]*+")
_NAME_CHARACTER = re.compile(r"[\w.-]")
_LONGEST_NAME = 80
_IS_NAME = re.compile(r"[\w .\[\]-]{1,80}")  # a key of a dictionary may be any text
_ASSIGNS = re.compile(r"\]?(\\*+[\"'])?\s{0,8}(=>|:=|==?|:(?!//)|%3[dD]|,)?\s{0,8}")
_WORD_END = re.compile(r"[\s\"']")
_LINE_END = re.compile(r"[\r\n\"']|\\[rn]")
_CLOSES = re.compile(CLOSING)
# What stands before the quote that begins a text: response="..." of a header, {'token': ...} behind one.
_BEFORE_QUOTE = re.compile(r"[\s=:,;({\[]")
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_PAIR_ENDS = re.compile(r"\s*+[)\]]")
_AUTH_SCHEME = re.compile(r"(?:Bearer|Basic|Digest|Token|Negotiate|NTLM|OAuth|Hawk|ApiKey|AWS4-[\w-]+)\s", re.IGNORECASE)
#: No secrets: values of a language, and the words that follow a name and a colon in an error message.
_HARMLESS = frozenset(("none", "null", "true", "false", "is", "was", "not", "no", "the", "a", "an", "must", "cannot"))
_HARMLESS |= {"expected", "required", "missing", "invalid", "nothing", "permission"}
_LONGEST_HARMLESS = 20
#: Characters of a text whose answer is remembered: names of fields, events and queues come again in each line of a flood.
_SHORT = 64


def redact(text: str) -> str:
    """The text with every secret in it replaced by a mask; a text without one is returned as it is."""
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
    text = redact_keys(redact_words(text))
    return _SCHEME.sub(lambda found: found[0] if _LIKE_A_WORD.fullmatch(found[3]) else f"{found[1]}{found[2]}{MASK}", text)


def suspicious(text: str) -> bool:
    """Whether the text may hold a secret at all: False for most, in little time."""
    lowered = text.lower()
    return any(trace in lowered for trace in _TRACES) or ("=" in text and any(sign in text for sign in "?&#"))


def redact_texts(value: Any) -> Any:
    """A JSON-like value whose texts are without secrets. Numbers and names stay, as its readers need its shape."""
    if isinstance(value, dict):
        return {key: redact_texts(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [redact_texts(each) for each in value]
    return redact(value) if isinstance(value, str) else value


def redact_value(value: Any, name: str = "") -> Any:
    """A JSON-like value without secrets: in its texts and keys, and under any name that speaks of one."""
    if isinstance(value, dict):
        shown = [(redact(key) if isinstance(key, str) else key, _named(key, name), each) for key, each in value.items()]
        return {key: redact_value(each, inner) for key, inner, each in shown}
    if isinstance(value, list | tuple):
        if len(value) == 2 and isinstance(value[0], str) and _speaks(value[0]) and isinstance(value[1], str):
            return [value[0], redact_value(value[1], value[0])]  # a header in a list of them
        return [redact_value(each, name) for each in value]
    if value in (None, "") or isinstance(value, bool):
        return value
    if _speaks(name) and not (isinstance(value, int | float) and name.lower().endswith("tokens")):
        return MASK
    return redact(value) if isinstance(value, str) else value


def _named(key: Any, outer: str) -> str:
    """Return the name of a value of an object: what an object of secrets holds is one, under whatever name."""
    return str(key) if _speaks(str(key)) or not _speaks(outer) else outer


def _speaks(name: str) -> bool:
    return _IS_NAME.fullmatch(name) is not None and is_secret(name)


def _parameters(text: str) -> str:
    """Without the values of parameters of URLs: ?api_token=..., #access_token=..., also percent-encoded once more."""
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
    """Without what is assigned to a name of a secret: password=..., "api_key": "...", Authorization: Bearer ..., --token ..."""
    parts, done, look = [], 0, 0
    while found := _STEM.search(text, look):
        start, look = _name_start(text, found.start(), look), _name_end(text, found.end())
        known = is_secret(text[start:look]) or (found[0].lower() == "key" and _QUALIFIED.search(text, max(0, start - 16), start))
        span = _assigned(text, start, look) if known else None
        if span is not None:
            parts += [text[done : span[0]], MASK]
            done = look = span[1]
            if text[done : done + 1] in ("'", '"'):  # what was taken for the end of the value may be a name of its own
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
    """From where to where the value of the name at text[start:end] goes; None where there is none."""
    found = _ASSIGNS.match(text, end)
    if found is None or text.endswith("//", 0, start):  # the user of a URL
        return None
    quoted, sign, at = found[1], found[2], found.end()
    if sign in ("=", "%3D", "%3d") and text.endswith(("?", "&", "#"), 0, start):  # a parameter, which was looked at
        return None
    if not sign or sign == ",":
        # --password, or -password behind a blank or a quote
        is_flag = text.startswith("-", start) and (sign or at > end) and not text[max(0, start - 1) : start].isalnum()
        if not is_flag and not (sign and quoted and _is_pair(text, start, quoted, at)):
            return None
        if is_flag and text.startswith("-", at):
            return None
    return _value(text, text[start:end], at)


def _is_pair(text: str, start: int, quoted: str, at: int) -> bool:
    """Whether two quoted texts, of which this is the first, are all that is in a bracket: a header in a list of them."""
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
            return None  # what is inside has names of its own
        end = text.find(closing, at)
        span = at + 1, end if end >= 0 else len(text)
    if span is None:
        # Before its end is looked for, which may be that of the text: nothing is masked then, and the next name asks again.
        word = text[at : end_of(_WORD_END, text, at, at + _LONGEST_HARMLESS)].rstrip(",.;:)]}").lower()
        if word in _HARMLESS or (lowered.endswith("tokens") and word[:1].isdigit()):
            return None
        whole_line = "cookie" in lowered or ("authori" in lowered and _AUTH_SCHEME.match(text, at))
        span = at, _end_of_line(text, at) if whole_line else end_of(PLAIN_END, text, at)
    return span if span[1] > span[0] else None


def _end_of_line(text: str, at: int) -> int:
    """Where the line ends, or the quoted text that it stands in. What is quoted in the line is part of it."""
    while found := _LINE_END.search(text, at):
        stop = found.start()
        if found[0] not in ("'", '"') or _CLOSES.match(text, stop):
            return stop
        at = found.end()
        if _BEFORE_QUOTE.match(text[max(0, stop - 8) : stop].rstrip("\\")[-1:]):
            closing = text.find(found[0], at)
            if closing < 0:
                break  # it was cut off
            at = closing + 1
    return len(text)
