"""Which names speak of a secret: of an option, a header, a key of JSON, a parameter of a URL. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Anywhere in a name, words run together: dbpassword, clientSecret, X-Amz-Credential, AccountKey.
_ANYWHERE = re.compile(
    r"passw(?:or)?d|passphrase|passcode|secret(?!ar)|credential|authori[sz]ation|signature|sess(?:ion)?id|sessionkey|"
    r"(?:api|access|account|app|auth|client|consumer|encryption|license|master|private|security|service|shared|"
    r"signing|ssh|subscription)key"
)
_ENDS = ("token", "cookie", "pwd")
_WORDS = frozenset(("token", "tokens", "pwd", "pw", "cred", "creds", "jwt", "cookie", "cookies", "otp"))
# Alone, or as what a name is in the end: basic_auth, X-Sig. At its front they are about something else: auth_mechanism.
_LAST = frozenset(("auth", "sig", "pass"))
# A name that ends so is about a secret and holds none: token_type, password_file.
_ABOUT = frozenset(("file", "url", "uri", "path", "type", "length", "count", "expires", "expiry", "ttl", "policy"))

# In the query of a URL a short word is enough: there it is a credential far more often than anything else.
_QUERY = frozenset(("key", "code", "auth", "access", "session", "sid", "sig", "pass", "pin", "ticket", "assertion", "jwt"))
_QUERY_ENDS = ("key", "keyfile", "pass", "authcode", "accesscode")
_ORDINARY = frozenset(("monkey", "donkey", "turkey", "hockey", "jockey", "whiskey", "bypass", "compass", "overpass", "surpass"))
#: What stands before `key` or `code` where neither is a secret.
_QUALIFIER = frozenset(("area", "bar", "binding", "cache", "color", "country", "currency", "error", "exit", "foreign", "hot"))
_QUALIFIER |= {"lang", "language", "partition", "post", "postal", "primary", "public", "return", "routing", "sort", "status"}
_QUALIFIER |= {"zip"}


@lru_cache(4096)  # bounded: a name comes from anybody's text
def is_secret(name: str) -> bool:
    """Whether a value under this name, wherever it stands, is a secret."""
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _ABOUT:
        return False
    joined = "".join(words)
    return bool(_ANYWHERE.search(joined) or joined.endswith(_ENDS) or words[-1] in _LAST or any(word in _WORDS for word in words))


@lru_cache(4096)
def is_secret_in_query(name: str) -> bool:
    """The same for a parameter behind the '?', '&' or '#' of a URL."""
    if is_secret(name):
        return True
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _ABOUT or _QUALIFIER.intersection(words):
        return False
    joined = "".join(words)
    return any(word in _QUERY for word in words) or (joined.endswith(_QUERY_ENDS) and joined not in _ORDINARY)
