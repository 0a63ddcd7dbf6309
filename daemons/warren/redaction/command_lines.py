"""Passwords on the command lines of well-known programs, in a shell or in a list of words. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from warren.redaction.quoted_values import PLAIN_END, end_of, quoted_at
from warren.redaction.url_passwords import MASK

_FLAG_TRACES = (" -", "'-", '"-', "\t-", "\n-")
_POSITION_TRACES = (
    "rabbitmqctl",
    "vault",
    "htpasswd",
    "chpasswd",
    "configure",
    "sqlplus",
    "sqlldr",
    "expdp",
    "impdp",
)
#: A text without any of these parts, in lower case, holds nothing that this module could find.
TRACES = (*_FLAG_TRACES, *_POSITION_TRACES)


class _Program(NamedTuple):
    """Programs of one kind: their names, and their flags that take a password."""

    names: str
    flags: str
    #: Whether the password may follow the flag without a blank; and whether the password may be the
    #: next word.
    attached: bool = True
    separate: bool = True
    #: The separator between a user's name and the password. A text without it has no password.
    behind: str = ""


# The separator of two words, in a shell or in a list of words.
_GAP = r"(?:\s{1,4}|\\{0,8}[\"'],\s{0,4}[bu]?(?=\\{0,8}[\"']))"
_NEXT = rf"(?:{_GAP}\\{{0,8}}[\"']?)"
_LOGIN = rf"(?:docker|podman|nerdctl|buildah|skopeo|oc|az|helm{_NEXT}registry){_NEXT}login"
_PROGRAMS = (
    # The next word is no password: without an attached password these programs ask for it.
    _Program(r"mysql\w{0,12}|mariadb(?:-\w{1,12})?|7z[arz]?|rar|unrar", "h?p", separate=False),
    _Program(r"sshpass", "p"),
    _Program(rf"mongo(?:sh|dump|restore|export|import|stat|top|files)?|{_LOGIN}", "p"),
    _Program(r"cqlsh|rabbitmqadmin|twine|beeline|ncftp\w{0,3}|rdesktop", "p"),
    _Program(r"(?:redis|valkey|keydb)-cli", "a", attached=False),
    _Program(r"ldappasswd", "[was]"),
    _Program(r"ldap(?:search|add|modify|delete|whoami|compare|modrdn|exop)", "w"),
    _Program(r"sqlcmd|bcp|[iot]sql|mosquitto_(?:pub|sub|rr)|ipmitool", "P"),
    _Program(r"zip|unzip|zipcloak", "[a-zA-Z0-9]{0,4}P", attached=False),
    _Program(r"snmp(?:get|getnext|walk|bulkwalk|bulkget|set|table|trap|inform|status)", "[AXc]"),
    _Program(r"openssl", "[kK]", attached=False),
    _Program(r"curl", "[a-zA-Z]{0,5}[uU]", behind=":"),
    _Program(r"https?", "a", behind=":"),
    _Program(r"smb(?:client|get|cacls|map)|rpcclient|winexe|wmic", "U", behind="%"),
    _Program(r"lftp", "u", behind=","),
)
_ANY = "|".join(rf"(?P<p{n}>{each.names})" for n, each in enumerate(_PROGRAMS))
_NAME = re.compile(rf"(?<![\w.-])(?:{_ANY})(?=\s|\\{{0,8}}[\"'])")
# The quotes, the end of the command where it is outside of quotes, and the flags.
_LOOKS = tuple(
    re.compile(rf"([\"'])|(\n|;\s|\|\s|&&)|(?<![\w.-])-(?:{each.flags})") for each in _PROGRAMS
)
_GAP_BEHIND = re.compile(rf"{_GAP}|=")
_NO_VALUE = frozenset("-<>|&;")
#: Number of characters of a command that are searched, from the name of its program on.
_LONGEST = 1000

_WORD = r"([^\s\"'\\]{1,200})"
#: Passwords that are known by their position: the first group is shown, the second is the password.
_POSITIONS = tuple(
    re.compile(rf"(?<![\w.-])({before}){_WORD}")
    for before in (
        rf"rabbitmqctl[^\n]{{0,200}}?(?:add_user|change_password|authenticate_user){_NEXT}"
        rf"[^\s\"'\\]{{1,80}}{_NEXT}",
        rf"vault{_NEXT}login{_NEXT}(?!-|\w{{1,40}}=)",
        rf"htpasswd{_NEXT}-\w{{0,5}}b\w{{0,5}}(?:{_NEXT}-\w{{1,5}}){{0,3}}{_NEXT}"
        rf"[^\s\"'\\]{{1,200}}{_NEXT}[^\s\"'\\]{{1,80}}{_NEXT}",
        rf"aws{_NEXT}configure{_NEXT}set{_NEXT}[\w.]{{0,80}}(?:secret|token)[\w.]{{0,80}}{_NEXT}",
        r"chpasswd\s{0,2}<<<\s{0,2}[\"']?[\w.@-]{1,80}:",
        r"(?:sqlplus|sqlldr|expdp|impdp)(?:\s{1,2}-\w{1,10}){0,3}\s{1,2}[\"']?"
        r"(?:userid=)?[\w.$#]{1,80}/",
    )
)
_CHPASSWD = re.compile(
    r"(\becho\s{1,2}[\"']?[\w.@-]{1,80}:)([^\s\"'|]{1,200})(?=[\"']?\s{0,2}\|\s{0,2}"
    r"(?:sudo\s)?chpasswd)"
)


def redact_commands(text: str) -> str:
    """Return the text without the passwords in its commands."""
    if any(trace in text for trace in _FLAG_TRACES):
        text = _flags(text)
    if any(trace in text for trace in _POSITION_TRACES):
        for pattern in _POSITIONS:
            text = pattern.sub(rf"\1{MASK}", text)
        text = _CHPASSWD.sub(rf"\1{MASK}", text)
    return text


def _flags(text: str) -> str:
    parts, done = [], 0
    found = _NAME.search(text)
    while found:
        following = _NAME.search(text, found.end())
        kind = int((found.lastgroup or "p0")[1:])
        end = min(found.end() + _LONGEST, following.start() if following else len(text))
        for start, stop in _passwords(text, kind, found.end(), end):
            parts += [text[done:start], MASK]
            done = stop
        found = _NAME.search(text, done) if following and following.start() < done else following
    return "".join(parts) + text[done:]


def _passwords(text: str, kind: int, at: int, end: int) -> list[tuple[int, int]]:
    """Return the spans of the passwords of one command."""
    quotes, spans = 0, list[tuple[int, int]]()
    while found := _LOOKS[kind].search(text, at, end):
        at = found.end()
        if found[1]:
            quotes += 1
        elif found[2]:
            if found[2] == "\n" and text[found.start() - 1] == "\\":
                continue
            if quotes % 2 == 0 or found[2] == "\n":
                break
        elif (span := _password(text, _PROGRAMS[kind], found.start(), at)) is not None:
            spans.append(span)
            at = span[1]
            if at >= end or _PROGRAMS[kind].names == "sshpass":
                break  # another command follows, which this one starts
    return spans


def _password(text: str, program: _Program, flag: int, at: int) -> tuple[int, int] | None:
    """Return the span of the password of the flag at text[flag:at]; None when the flag has no
    password.
    """
    gap = _GAP_BEHIND.match(text, at)
    if gap:
        if not program.separate or text[gap.end() : gap.end() + 1] in _NO_VALUE:
            return None
        span = quoted_at(text, gap.end()) or (gap.end(), end_of(PLAIN_END, text, gap.end()))
    elif not program.attached or text[at : at + 1] in _NO_VALUE:
        return None
    elif text[flag - 1] in ("'", '"') and (whole := _list_word(text, flag)):
        span = at, whole
    else:
        span = quoted_at(text, at) or (at, end_of(PLAIN_END, text, at))
    start, stop = span
    if program.behind:
        start = text.find(program.behind, start, stop) + 1
    return (start, stop) if 0 < start < stop else None


def _list_word(text: str, flag: int) -> int | None:
    """Return the end of the list word whose flag begins here, after its opening quote."""
    opening = flag - 1
    while opening > 0 and text[opening - 1] == "\\":
        opening -= 1
    span = quoted_at(text, opening)
    return span[1] if span else None
