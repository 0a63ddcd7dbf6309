"""Secrets that are known by their form or by the text around them, not by a name and a sign.

Pure.
"""

from __future__ import annotations

import re

from warren.redaction.secret_names import is_secret
from warren.redaction.url_passwords import MASK

#: A text needs one of these parts, in lower case, or `://`, or the name of a secret; otherwise this
#: module finds nothing.
TRACES: tuple[str, ...] = (
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xox",
    "sk-",
    "k_live_",
    "aiza",
    "npm_",
)
TRACES += (
    "hf_",
    "dop_v1_",
    "pypi-",
    "sg.",
    "whsec_",
    "-u",
    "identified",
    "/bot",
    "webhooks/",
    "slack.com",
)
# With a digit, because words and names of files begin so as well.
_KEY = re.compile(
    r"(?<![\w-])(?:gh[pousr]_|github_pat_|glpat-|xox[a-z]-|[sr]k_live_|sk-|AIza|npm_|hf_|dop_v1_"
    r"|pypi-|SG\.|whsec_)"
    r"(?=[\w.-]{0,40}[0-9])[\w.-]{16,}"
)
# In these URLs a part of the path is the key: everybody who knows it may write there.
_KEY_IN_PATH = re.compile(
    r"(api\.telegram\.org/(?:file/)?bot|hooks\.slack\.com/(?:services|workflows|triggers)/"
    r"|discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/)"
    r"([^\s/?#\"'\\<>]++(?:/[^\s/?#\"'\\<>]++){0,2})",
    re.IGNORECASE,
)
# curl -u NAME:PASSWORD, also as a list of words. The numbers of a user and a group are no password.
_USER = re.compile(
    r"(?<![\w-])(-u|-U|--user|--proxy-user)((?:[\"'],\s{0,2}[\"']|[\s=]{1,2}[\"']?))"
    r"(?!\d+:\d+\b)([\w.@+-]{1,80}:)([^\s\"']++)"
)
# SQL: ALTER USER ... PASSWORD '...', = PASSWORD('...'), IDENTIFIED BY '...'. A name and a quoted
# text outside of SQL match as well.
_SQL = re.compile(
    r"\b(password|identified\s{1,2}(?:with\s{1,2}[^\s']{1,60}\s{1,2})?(?:by|as)"
    r"(?:\s{1,2}password)?)"
    r"(\s{1,4}\\?[\"']|\s?\(\\?[\"'])([^\"'\\\n]++)",
    re.IGNORECASE,
)
# A password in double quotes may hold an '@'; otherwise the last '@' before a blank ends it.
_ORACLE = re.compile(
    r"(jdbc:oracle:\w{1,10}:[^\s/\"'@:]{1,80}/)(?:\\{0,4}\"[^\"\\\n]{1,200}\\{0,4}\"|"
    r"[^\s<>\"']{1,200})(?=@)"
)
_ELEMENT = re.compile(r"<([\w.:-]{1,80})>([^<>]++)(?=</)")


def redact_keys(text: str) -> str:
    """Return the text without keys of well-known services, and without passwords of SQL and XML."""
    text = _KEY.sub(MASK, _KEY_IN_PATH.sub(_in_path, _ORACLE.sub(rf"\1{MASK}", text)))
    text = _USER.sub(rf"\1\2\3{MASK}", _SQL.sub(rf"\1\2{MASK}", text))
    return _ELEMENT.sub(_element, text)


def _in_path(found: re.Match[str]) -> str:
    if not found[1].lower().endswith("bot"):
        return f"{found[1]}{MASK}"
    # The called method is shown.
    return f"{found[1]}{MASK}{''.join(found[2].partition('/')[1:])}"


def _element(found: re.Match[str]) -> str:
    return f"<{found[1]}>{MASK}" if is_secret(found[1]) else found[0]
