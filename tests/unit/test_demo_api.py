"""The API as a process of its own: what a provider promises to those who call it."""

from __future__ import annotations

import hashlib
import http.client
import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from support.api import Api
from support.api import api as running
from support.figures import Figure
from support.wait import TIMEOUT, end_of, let_pass, run_to_end
from warren.demo.api import read_or_make_key
from warren.demo.api_server import _Handler
from warren.demo.call_record import read, worst_window

LIMIT = 20
WINDOW = 2


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """An API that allows 20 calls in two seconds."""
    with running(tmp_path, f"{LIMIT}/{WINDOW}s", 0.01) as made:
        yield made


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Api]:
    """One that allows 20 calls in ten minutes: its window does not pass while a test runs."""
    with running(tmp_path, f"{LIMIT}/10m", 0.01) as made:
        yield made


def test_a_burst_gets_the_limit_and_not_one_more(api: Api) -> None:
    """Of 100 calls at once exactly the limit is served.

    The others are refused with a time to wait.
    """
    with ThreadPoolExecutor(100) as callers:
        answers = list(callers.map(lambda number: api.get(f"/documents/{number}"), range(100)))
    served = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    calls = read((api.directory / "record").read_bytes().splitlines())
    spread = (max(call.at_ns for call in calls) - min(call.at_ns for call in calls)) / 1e9
    assert len(served) + len(refused) == 100
    assert len(served) == LIMIT or spread > WINDOW  # a machine so slow that the burst was none
    assert all(1 <= int(answer.headers["Retry-After"]) <= WINDOW + 1 for answer in refused)
    assert (
        worst_window([call.at_ns for call in calls if call.status == 200], WINDOW * 10**9) <= LIMIT
    )


def test_waiting_as_long_as_told_is_enough(api: Api) -> None:
    """A client that waits for Retry-After is served, as far as the window has room."""
    answer = api.get("/documents/0")
    while answer.status_code == 200:
        answer = api.get("/documents/0")
    told = int(answer.headers["Retry-After"])
    let_pass(told)
    assert api.get("/documents/0").status_code == 200


def test_headers_count_down_the_allowance(patient: Api) -> None:
    """Each answer says what the limit is, what is left of it, and when more comes."""
    first, second = patient.get("/documents/0"), patient.get("/documents/1")
    assert first.headers["X-RateLimit-Limit"] == str(LIMIT)
    assert first.headers["X-RateLimit-Remaining"] == str(LIMIT - 1)
    assert second.headers["X-RateLimit-Remaining"] == str(LIMIT - 2)
    assert second.headers["X-RateLimit-Reset"] == "0"


@pytest.mark.parametrize("key", ["", "wrong", "é"])
def test_no_key_no_document(api: Api, key: str) -> None:
    """Without the key there is neither document nor catalogue.

    The limit of the key's owner is not touched.
    """
    statuses = [
        api.get(path, key.encode().decode("latin-1")).status_code
        for path in ("/documents/0", "/documents", "/x")
    ]
    assert statuses == [401, 401, 401]
    assert api.get("/documents/0").headers["X-RateLimit-Remaining"] == str(LIMIT - 1)


def test_the_catalogue_is_true_and_costs_nothing(api: Api) -> None:
    """Sizes and digests of the catalogue are those of the documents.

    Reading it does not count against the limit.
    """
    catalogue = api.get("/documents").json()
    assert len(catalogue) >= 300
    for entry in catalogue[:3]:
        body = api.get(f"/documents/{entry['number']}").content
        assert len(body) == entry["bytes"]
        assert hashlib.sha256(body).hexdigest() == entry["sha256"]
    assert api.get("/record").json()["calls"] == 3


@pytest.mark.parametrize(
    "path", ["/documents/999999", "/documents/-1", "/documents/x", "/documents/²", "/documents/"]
)
def test_a_document_that_is_not_there_costs_a_call(api: Api, path: str) -> None:
    """A miss is answered 404 and counts, as it does with real providers."""
    answer = api.get(path)
    assert answer.status_code == 404
    assert answer.headers["X-RateLimit-Remaining"] == str(LIMIT - 1)


def test_an_unknown_path_is_not_found(api: Api) -> None:
    """A path that the API does not have is answered 404 and is no call against the limit."""
    assert api.get("/nothing").status_code == 404
    assert api.get("/record").json()["calls"] == 0


def test_the_record_says_what_happened(api: Api) -> None:
    """The summary counts what was served, refused and sent without the key."""
    began = time.monotonic()
    for number in range(LIMIT + 5):
        api.get(f"/documents/{number}")
    api.get("/documents/0", key="wrong")
    summary = requests.get(api.url + "/record", timeout=TIMEOUT).json()
    served = summary["calls"] - summary["refused"]
    assert summary["calls"] == LIMIT + 5
    assert summary["unauthorised"] == 1
    assert served >= LIMIT
    assert (summary["limit"], summary["window"]) == (LIMIT, WINDOW)
    assert began < summary["first"] < summary["last"] < time.monotonic()


def test_one_connection_serves_many_calls(api: Api, figure: Figure) -> None:
    """A caller may keep its connection.

    A call then takes little more than the latency, not Nagle's 40 ms.
    """
    assert _Handler.disable_nagle_algorithm
    caller = http.client.HTTPConnection(api.url.removeprefix("http://"), timeout=TIMEOUT)
    took, connections = [], set()
    for number in range(LIMIT):
        start = time.monotonic()
        caller.request(
            "GET", f"/documents/{number}", headers={"Authorization": f"Bearer {api.key}"}
        )
        assert caller.getresponse().read()
        took.append(time.monotonic() - start)
        connections.add(caller.sock)
    caller.close()
    assert len(connections) == 1
    figure(
        "a call over a connection that is kept",
        f"{statistics.median(took) * 1000:.0f} ms",
        "10 ms of latency, and little more",
    )


def test_the_key_is_its_owners_alone(api: Api) -> None:
    """The key's file can be read by its owner and nobody else, and a second start keeps the key."""
    assert (api.directory / "key").stat().st_mode & 0o777 == 0o600
    assert len(api.key) >= 32
    assert read_or_make_key(api.directory / "key") == api.key


def test_only_this_machine_can_call(api: Api) -> None:
    """The API listens on loopback and nowhere else."""
    port = int(api.url.rpartition(":")[2])
    listening = [
        line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    ]
    assert [row[1] for row in listening if row[3] == "0A" and row[1].endswith(f":{port:04X}")] == [
        f"0100007F:{port:04X}"
    ]


def test_it_ends_when_asked(api: Api) -> None:
    """SIGTERM ends the API with 0, while a caller keeps a connection open."""
    with requests.Session() as session:
        session.get(api.url + "/record", timeout=TIMEOUT)
        os.kill(api.process.pid, signal.SIGTERM)
        assert end_of(api.process) == 0


def test_a_limit_that_is_none_is_named(tmp_path: Path) -> None:
    """A wrong limit is refused with what was expected and found, before the API listens."""
    arguments = [
        "--limit",
        "60/fortnight",
        "--key-file",
        str(tmp_path / "key"),
        "--record",
        str(tmp_path / "record"),
    ]
    ended = run_to_end([sys.executable, "-m", "warren.demo.api", *arguments], capture_output=True)
    assert ended.returncode == 2
    assert "expected a rate" in ended.stderr
    assert "60/fortnight" in ended.stderr
    assert list(tmp_path.iterdir()) == []
