"""The demo's download, against addresses that only this host reaches and endless senders."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from warren.demo.demo_settings import DemoSettings
from warren.demo.download import Refused, answer, is_public

Answers = dict[str, Callable[[http.server.BaseHTTPRequestHandler], None]]


@contextmanager
def site(answers: Answers) -> Iterator[tuple[str, list[str]]]:
    """A web site on loopback: its URL, and the paths that were asked for."""
    asked: list[str] = []

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            answers[self.path](self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def redirect(target: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    def send(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return send


def page(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "4")
    handler.end_headers()
    handler.wfile.write(b"page")


def fetched(url: str, *hosts: str, longest: float = 60.0) -> bytes:
    """What the URL answers, where a download may reach these hosts at the port of the URL."""
    with answer(url, [(host, urlsplit(url).port or 80) for host in hosts], longest) as chunks:
        return b"".join(chunks)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1:248:1893:25c8:1946", True), ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("0.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False),
        ("100.100.100.200", False),
        ("169.254.169.254", False), ("224.0.0.1", False), ("239.1.1.1", False),
        ("255.255.255.255", False),
        ("::1", False), ("::", False), ("fe80::1%eth0", False), ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False), ("::ffff:169.254.169.254", False),
        ("::ffff:93.184.216.34", True), ("2002:7f00:1::", False),
        ("64:ff9b::a9fe:a9fe", False), ("64:ff9b::5db8:d822", True),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address: str, public: bool) -> None:
    """Only those of the internet, whatever they are wrapped in."""
    assert is_public(address) is public


def test_an_address_of_this_host_is_not_reached() -> None:
    """Loopback is refused before any connection, under each name, unless its host is named."""
    with site({"/": page}) as (url, asked):
        for other in (
            url,
            url.replace("127.0.0.1", "localhost"),
            url.replace("127.0.0.1", "2130706433"),
        ):
            with pytest.raises(Refused, match="expected a public address, found "):
                fetched(f"{other}/")
        assert asked == []
        assert fetched(f"{url}/", "127.0.0.1") == b"page"


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.2:%s/", "http://169.254.169.254/latest/", "http://[::ffff:127.0.0.2]:%s/"],
)
def test_a_redirect_leads_to_no_other_address(target: str) -> None:
    """What may be reached is asked at each redirect again."""
    answers: Answers = {"/": page}
    with site(answers) as (url, asked):
        answers["/away"] = redirect(target.replace("%s", url.rpartition(":")[2]))
        with pytest.raises(Refused, match="expected a public address"):
            fetched(f"{url}/away", "127.0.0.1")
        assert asked == ["/away"]


def test_another_port_of_the_named_host_is_not_reached() -> None:
    """Of the API's host a download reaches the API's port alone.

    The API is on loopback, and so are services without a password.
    """
    with site({"/": page}) as (other, others_asked):
        with site({"/": page, "/away": redirect(f"{other}/")}) as (url, asked):
            api = DemoSettings(url, Path("key"), Path("files"), Path("ticks")).reachable
            for refused in (f"{other}/", f"{url}/away"):
                with (
                    pytest.raises(Refused, match="expected a public address"),
                    answer(refused, api),
                ):
                    pass
            with answer(f"{url}/", api) as chunks:
                assert b"".join(chunks) == b"page"
            assert asked == ["/away", "/"]
        assert others_asked == []


@pytest.mark.parametrize(
    ("api", "named"),
    [
        ("http://127.0.0.1:8080", (("127.0.0.1", 8080),)),
        ("https://api.example", (("api.example", 443),)),
        ("http://api.example/v1", (("api.example", 80),)), ("http://api.example:x", ()),
        ("nothing", ()),
    ],
)  # fmt: skip
def test_the_api_is_named_with_its_port(api: str, named: tuple[tuple[str, int], ...]) -> None:
    """An address without a port has that of its scheme; what is no URL opens nothing."""
    assert DemoSettings(api, Path("key"), Path("files"), Path("ticks")).reachable == named


def test_it_is_the_address_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public name that leads to a private address is refused, and looked up once.

    A second answer could differ.
    """
    looked_up: list[str] = []

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)  # there is no such name to be had
    for url in ("http://rebound.example/", "https://rebound.example/"):
        with pytest.raises(Refused, match=r"found 10\.0\.0\.1 for rebound\.example"):
            fetched(url)
    assert looked_up == ["rebound.example"] * 2


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://127.0.0.1:6379/_x"]
)
def test_other_schemes_are_refused(target: str) -> None:
    """At the start and behind a redirect."""
    with (
        site({"/away": redirect(target)}) as (url, _),
        pytest.raises(Refused, match="begins with http"),
    ):
        fetched(f"{url}/away", "127.0.0.1")
    with pytest.raises(Refused, match="begins with http"):
        fetched(target)


def test_redirects_without_an_end_are_refused() -> None:
    """A few are followed."""
    with site({"/": page, "/round": redirect("/round"), "/once": redirect("/")}) as (url, asked):
        assert fetched(f"{url}/once", "127.0.0.1") == b"page"
        with pytest.raises(Refused, match="expected at most 5 redirects"):
            fetched(f"{url}/round", "127.0.0.1")
        assert len(asked) < 12


@pytest.mark.parametrize("where", ["head", "body", "body of no stated length"])
def test_a_sender_without_an_end_is_left(where: str) -> None:
    """A sender that always sends one more byte holds a process for the whole timeout at most.

    It does not matter where the sender is slow.
    """
    over = threading.Event()

    def dawdle(handler: http.server.BaseHTTPRequestHandler) -> None:
        begin = {
            "head": b"HTTP/1.0 200 OK\r\nX-A: ",
            "body": b"HTTP/1.0 200 OK\r\nContent-Length: 1000000\r\n\r\n",
        }
        handler.wfile.write(begin.get(where, b"HTTP/1.0 200 OK\r\n\r\n"))
        # load: the pace of the sender
        while not over.wait(0.05):
            try:
                handler.wfile.write(b"x")
            except OSError:
                return

    with site({"/": dawdle}) as (url, _):
        with pytest.raises(Refused, match="expected an end within 1 s"):
            fetched(f"{url}/", "127.0.0.1", longest=1.0)
        over.set()


def test_a_broken_connection_may_be_tried_again() -> None:
    """What time may mend is told apart from what it does not."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(requests.ConnectionError):
            fetched(f"http://127.0.0.1:{nobody.getsockname()[1]}/", "127.0.0.1")
