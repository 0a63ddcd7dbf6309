"""Secrets in a sentence or in a line of a protocol, without an assignment sign. Pure.

Examples: `the password is ...`, `AUTH ...`. Most sentences about a secret hold no secret: `the
password is wrong`. So the text that follows is masked only when it is quoted, or does not look like
a word: when it has a digit or a sign in it, or a capital after a small letter.
"""

from __future__ import annotations

import re

from warren.redaction.url_passwords import MASK

_NAME = (
    r"(?:password|passwd|passphrase|pass\s{1,2}phrase|passcode|pwd|token|secret|credential"
    r"|(?:api|access|account|app|auth|client|encryption|license|master|private|secret|security"
    r"|service"
    r"|session|shared|signing|ssh)[ _-]?key)s?"
)
_WHOSE = r"(?:\s{1,2}(?:for|of)\s{1,2}(?:the\s{1,2}|user\s{1,2}){0,2}[^\s:]{1,80})?"
_TO = (
    r"(?:(?:is|was|are|(?:has|have|had)\s{1,2}been)\s{1,2})?"
    r"(?:now\s{1,2})?(?:set|changed|reset)\s{1,2}to"
)
_IS = rf"(?:\s{{1,2}}(?:{_TO}|(?:is|was|are)(?:\s{{1,2}}now)?)\s?[:=]?|\s{{0,2}}->)\s{{1,2}}"
_QUOTE = r"\\{0,8}[\"'`]"
_SAID = re.compile(
    rf"(?<![a-z])({_NAME}{_WHOSE}{_IS})(?:({_QUOTE})([^\"'`\\\n]{{1,200}})(?={_QUOTE})|"
    rf"([^\s\"'`]{{3,200}}))",
    re.IGNORECASE,
)
# A word of a sentence, also with a hyphen, and the signs around it; or a short number, as of
# characters.
_LIKE_A_WORD = re.compile(r"[(\[<{]?(?:(?:[A-Z]?[a-z]+|[A-Z]+)(?:[-'/_][a-z]+)*\W*|\d{1,3}\W*)|\W*")
# `password hunter2` of a .netrc, of a Redis setting, of an error: letters and digits. Keys are
# longer than words.
_BEHIND = re.compile(
    r"((?<![\w.-])(?:[Pp]ass(?:word|wd)|requirepass|masterauth)\s{1,2})"
    r"(?=[^\s\"']{0,40}\d)(?=[^\s\"']{0,40}[A-Za-z])[^\s\"'(){}<>\[\],:]{5,200}"
)
_TOKEN = re.compile(
    r"((?<![\w.-])[Tt]oken\s{1,2})(?=\w{0,60}\d)(?=\w{0,60}[A-Za-z])[\w+/=.-]{16,200}"
)
# AUTH of Redis and SMTP. Names of mechanisms are no secrets, nor are the words of `AUTH failed`.
_MECHANISM = (
    r"(?:PLAIN|LOGIN|EXTERNAL|AMQPLAIN|GSSAPI|NTLM|XOAUTH2?|OAUTHBEARER"
    r"|(?:CRAM|DIGEST)-\w{1,10}|SCRAM-[\w-]{1,20})(?!\S)"
)
_AUTH = re.compile(
    rf"(?<![\w-])(AUTH2?(?:\s{{1,2}}{_MECHANISM}){{0,8}}+\s{{1,2}})(?!{_MECHANISM})"
    rf"([\w.@-]{{1,80}}\s{{1,2}}(?!{_MECHANISM}))?([^\s\"'\\]{{3,200}})"
)
_NO_USER = re.compile(
    r"(?:fail|err|time|reject|refus|requir|command|response|request|with|for|see|on|at|is|not)"
)
# The words as redis-cli MONITOR shows them, and in a list.
_WORD = rf"[bu]?{_QUOTE}[^\"'\\\n]{{1,80}}{_QUOTE}"
_LISTED = re.compile(
    rf"(?<=[\"'])((?:AUTH2?|requirepass|masterauth){_QUOTE},\s{{0,2}}(?:{_WORD},\s{{0,2}})?[bu]?"
    rf"{_QUOTE}"
    rf"|(?i:AUTH2?|requirepass|masterauth){_QUOTE}\s{{1,2}}(?:{_WORD}\s{{1,2}})?{_QUOTE})"
    rf"([^\"'\\\n]{{1,200}})(?={_QUOTE})"
)
_SETUSER = re.compile(
    r"((?i:SETUSER)\s{1,2}[^\s>]{1,80}(?:\s{1,2}[^\s>]{1,80}){0,8}\s{1,2}>)[^\s\"'\\]{1,200}"
)
_END = r"(?:\r\n|\\r\\n)"
_BULK = rf"\$\d{{1,9}}{_END}"
_TEXT = r"(?:(?!\\r)[^\r\n]){1,200}"
_ON_WIRE = re.compile(rf"((?i:AUTH){_END}{_BULK}){_TEXT}(?:({_END}{_BULK}){_TEXT})?")


def redact_phrases(text: str) -> str:
    """Return the text without the secrets in its sentences and commands."""
    lowered = text.lower()
    if any(
        name in lowered
        for name in ("pass", "pwd", "token", "secret", "credential", "key", "masterauth")
    ):
        text = _TOKEN.sub(rf"\1{MASK}", _BEHIND.sub(rf"\1{MASK}", _SAID.sub(_said, text)))
    if any(name in lowered for name in ("auth", "requirepass", "setuser")):
        text = _SETUSER.sub(rf"\1{MASK}", _LISTED.sub(rf"\1{MASK}", _ON_WIRE.sub(_on_wire, text)))
        text = _AUTH.sub(_auth, text)
    return text


def _said(found: re.Match[str]) -> str:
    if found[3]:
        return f"{found[1]}{found[2]}{MASK}"
    return found[0] if _LIKE_A_WORD.fullmatch(found[4]) else f"{found[1]}{MASK}"


def _auth(found: re.Match[str]) -> str:
    before, user, value = found[1], found[2] or "", found[3]
    if user and not _LIKE_A_WORD.fullmatch(user.strip()):
        # `user` is the password, and a sentence follows.
        return f"{before}{MASK}{user[len(user.rstrip()) :]}{value}"
    if _LIKE_A_WORD.fullmatch(value) or (user and _NO_USER.match(user)):
        return found[0]
    return f"{before}{user}{MASK}"


def _on_wire(found: re.Match[str]) -> str:
    return f"{found[1]}{MASK}" + (f"{found[2]}{MASK}" if found[2] else "")
