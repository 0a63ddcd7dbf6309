"""A headless Chromium, on this machine or on the network of a booted host."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from selenium import webdriver

from support.host import Host
from support.servers import missing

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def browser(host: Host | None = None) -> Iterator[webdriver.Chrome]:
    """A browser for which 127.0.0.1 is the host; without one, this machine.

    It is so for all that the calling thread connects to within the block.
    """
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            missing("chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    # Root has no sandbox; the machine's /dev/shm may be small.
    for word in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--window-size=1400,900",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ):
        options.add_argument(word)
    network: AbstractContextManager[None] = _network_of(host) if host else nullcontext()
    with network:
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()


@contextmanager
def _network_of(host: Host) -> Iterator[None]:
    """Put the calling thread into the host's network namespace.

    Processes that the thread starts are in it as well.
    """
    with (
        open("/proc/thread-self/ns/net", "rb") as home,
        open(host.root.parent / "ns" / "net", "rb") as there,
    ):
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns", os.fspath(f"/proc/self/fd/{namespace}"))
