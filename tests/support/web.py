"""`warren web` on a port of its own, and requests to it."""

from __future__ import annotations

import re
import socket
from typing import Any

import requests

from support.suite import Suite
from support.wait import TIMEOUT

TOKEN = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
TASKS = """
import time
from celery import shared_task
import warren

@shared_task(name="shop.add")
def add(x, y=0):
    return x + y

@shared_task(name="shop.count")
def count(path, n=1):
    with open(path, "a") as file:
        file.write("ran\\n")
    return n

@shared_task(name="shop.steps")
def steps(n):
    with warren.publish_file("report.csv") as file:
        for row in warren.progress(range(n), note="at work"):
            file.write(f"{row}\\n")
            time.sleep(0.3)
    return {"rows": n}

@shared_task(name="shop.fail")
def fail():
    raise ValueError("amqp://user:geheim@host is away")

@shared_task(name="private.wipe")
def wipe():
    open("/dev/null")
"""


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Web:
    """The web daemon of a suite: its settings, and how a client speaks to it."""

    def __init__(self, suite: Suite, ini: str = "") -> None:
        self.suite = suite
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.tokens = suite.directory / "tokens"
        self.tokens.touch(mode=0o600)
        self.tokens.write_text(f"portal {TOKEN}\nother {OTHER}\n", encoding="utf-8")
        suite.module("shop_tasks", TASKS)
        suite.head = re.sub("modules = .*", "modules = shop_tasks", suite.head)
        self.ini = f"{ini}[worker:a]\n[web]\nenabled = true\ntoken_file = {self.tokens}\n"
        self.ini += f"listen = 127.0.0.1:{self.port}\ntasks = shop.*\n"
        suite.write(self.ini)

    def ask(
        self, method: str, path: str, token: str = TOKEN, within: float = TIMEOUT, **more: Any
    ) -> requests.Response:
        """The answer to one request."""
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        url = f"{self.url}{path}"
        return requests.request(method, url, headers=headers, timeout=within, **more)

    def send(self, task: str, *args: Any, **headers: str) -> requests.Response:
        """The answer to the sending of a task with these arguments."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", f"/tasks/{task}", json={"args": list(args)}, headers=named)

    def state(self, task_id: str) -> dict[str, Any]:
        """What the web daemon tells of a task."""
        answer = self.ask("GET", f"/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told


def connected(web: Web, text: str | bytes = b"") -> socket.socket:
    """A connection on which this text was sent."""
    made = socket.create_connection(("127.0.0.1", web.port), TIMEOUT)
    made.sendall(text.encode("latin-1") if isinstance(text, str) else text)
    return made


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = bytearray()
    with connection:
        try:
            while part := connection.recv(65536):
                found += part
        except ConnectionResetError:
            pass
    return bytes(found)
