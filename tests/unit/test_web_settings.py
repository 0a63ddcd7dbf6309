"""`[web]`: its address, its file of tokens, and what it asks of the other sections."""

from __future__ import annotations

from pathlib import Path

import pytest

from warren.config import load
from warren.config.addresses import Address, loopback
from warren.config.units import Unexpected
from warren.config.web_tokens import tokens
from warren.errors import ConfigError

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8780", Address("127.0.0.1", 8780)),
        ("127.9.9.9:1", Address("127.9.9.9", 1)),
        ("[::1]:65535", Address("::1", 65535)),
        ("[0:0:0:0:0:0:0:1]:80", Address("::1", 80)),
    ],
)
def test_a_loopback_address(text: str, address: Address) -> None:
    """Its text reads as itself again."""
    assert loopback(text) == address
    assert loopback(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8780",
        ":8780",
        "localhost:8780",
        "0.0.0.0:8780",
        "192.168.1.1:80",
        "[::]:80",
        "[fe80::1]:80",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1",
        "127.0.0.1:80:80",
        "::1:80",
        "127.1:80",
    ],
)
def test_no_other_address(text: str) -> None:
    """A token would cross the network in plain text."""
    with pytest.raises(Unexpected, match="a loopback address with a port"):
        loopback(text)


def test_tokens_by_client() -> None:
    """Comments and empty lines are left out."""
    text = f"# ours\n\n  portal\t{TOKEN}\nbatch {TOKEN}=\n"
    assert tokens(text) == {"portal": TOKEN, "batch": f"{TOKEN}="}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "none"),
        ("# nothing", "none"),
        (TOKEN, "1 words in line 1"),
        (f"a {TOKEN} b", "3 words in line 1"),
        (f"a {TOKEN}\na {TOKEN}x", "the name of line 2 again"),
        (f"a {TOKEN}\nb {TOKEN}", "that of line 2 again"),
        ("a short", "another token in line 1"),
        (f"a {TOKEN}\N{LATIN SMALL LETTER E WITH ACUTE}", "another token in line 1"),
        (f"a {'x' * 513}", "another token in line 1"),
        (f"/ {TOKEN}", "another name in line 1"),
    ],
)
def test_wrong_tokens(text: str, found: str) -> None:
    """The line is named, and never quoted."""
    with pytest.raises(Unexpected) as raised:
        tokens(text)
    assert raised.value.found == found
    assert TOKEN not in str(raised.value)


def problems(
    directory: Path, ini: str, secret: str = f"portal {TOKEN}\n", mode: int = 0o600
) -> str:
    """All that is wrong with these settings, as text."""
    file = directory / "tokens"
    file.write_text(secret, encoding="utf-8")
    file.chmod(mode)
    (directory / "warren.ini").write_text(ini.replace("FILE", str(file)), encoding="utf-8")
    try:
        settings = load(directory, "host")
    except ConfigError as error:
        return "\n".join(map(str, error.problems))
    assert settings.web_tokens == {"portal": TOKEN}
    assert TOKEN not in repr(settings)
    return ""


WEB = "[web]\nenabled = true\ntoken_file = FILE\n"


@pytest.mark.parametrize(
    "ini",
    [
        WEB,
        f"{WEB}queues = default\n",
        f"{WEB}[broker]\nurl = redis://h\n",
        f"{WEB}[broker]\nurl = amqp://h\n[results]\nurl = redis://h\n",
        f"{WEB}[broker]\nurl = amqp://h\n".replace("enabled = true", "enabled = false"),
    ],
)
def test_settings_that_work(tmp_path: Path, ini: str) -> None:
    """Each broker will do, if its results can be read by any process."""
    assert problems(tmp_path, f"{ini}[worker:a]\n") == ""


@pytest.mark.parametrize(
    ("ini", "told"),
    [
        ("[web]\nenabled = yes\n", "[web] token_file: expected a file with the tokens"),
        (f"{WEB}queues = defualt\n", "[web] queues: expected declared queues, found 'defualt'"),
        (f"{WEB}listen = 0.0.0.0:80\n", "[web] listen: expected a loopback address"),
        (f"{WEB}rate = 0/s\n", "[web] rate: expected a rate"),
        (f"{WEB}largest_request = 1B\n", "[web] largest_request: expected a size from"),
        (f"{WEB}[broker]\nurl = amqp://h\n", "[results] url: expected a Redis"),
        (f"{WEB}[broker]\nurl = amqp://h\n[results]\nurl = rpc://\n", "[results] url: expected a"),
        ("[web]\ntoken_file = /nowhere/tokens\n", "make the file with lines NAME TOKEN"),
    ],
)
def test_settings_that_do_not(tmp_path: Path, ini: str, told: str) -> None:
    """Each with its place and its remedy."""
    assert told in problems(tmp_path, f"{ini}[worker:a]\n")


@pytest.mark.parametrize(
    ("secret", "mode", "told"),
    [
        (f"portal {TOKEN}\n", 0o644, "a file that only its owner may read"),
        ("portal\n", 0o600, "expected lines NAME TOKEN, found 1 words in line 1"),
        ("", 0o600, "expected lines NAME TOKEN, found none"),
    ],
)
def test_a_wrong_token_file(tmp_path: Path, secret: str, mode: int, told: str) -> None:
    """`warren check` finds it before the daemon does."""
    assert told in problems(tmp_path, f"{WEB}[worker:a]\n", secret, mode)
