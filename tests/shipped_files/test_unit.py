"""systemd/warren.service as systemd itself judges it, and against what it takes from Warren."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from support.servers import missing
from support.wait import run_to_end
from warren.errors import FINAL
from warren.supervise.reload.check import TIMEOUT

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "warren.service"
#: The exposure of Debian's redis-server, the lowest of the services that Warren was compared with.
EXPOSURE = 1.2
SECONDS = {"s": 1, "min": 60, "": 1}


def analyze(*arguments: str) -> str:
    """What `systemd-analyze WORDS` prints; fails when it complains."""
    if shutil.which("systemd-analyze") is None:
        missing("systemd")
    done = run_to_end(["systemd-analyze", *arguments], capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def value(name: str) -> str:
    """The value of a line of the unit; the last one where there are several."""
    found: list[str] = re.findall(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    return found[-1]


def seconds(name: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w*)", value(name)).groups()  # type: ignore[union-attr]
    return int(number) * SECONDS[unit]


@pytest.mark.parametrize("drop_in", [False, True], ids=["alone", "with the drop-in"])
def test_systemd_understands_every_line(tmp_path: Path, drop_in: bool) -> None:
    """`systemd-analyze verify` has nothing to say, also with the shipped example of a drop-in."""
    unit = tmp_path / "warren.service"
    unit.write_text(
        UNIT.read_text(encoding="utf-8").replace("/usr/bin/warren", "/bin/true"), encoding="utf-8"
    )
    if drop_in:
        (tmp_path / "warren.service.d").mkdir()
        shutil.copy(SYSTEMD / "drop-in.conf", tmp_path / "warren.service.d")
    analyze("verify", "--man=no", str(unit))


def test_the_unit_is_hardened() -> None:
    """The exposure that systemd computes is not above the promised one."""
    verdict = analyze("security", "--offline=true", "--no-pager", str(UNIT)).splitlines()[-1]
    (exposure,) = re.findall(r"exposure level for warren.service: ([\d.]+)", verdict)
    assert float(exposure) <= EXPOSURE


def test_each_hardening_line_has_its_reason() -> None:
    """Above each line of the unit's last part stands a comment that says why."""
    lines = (
        UNIT.read_text(encoding="utf-8")
        .partition("# Hardening.")[2]
        .partition("[Install]")[0]
        .splitlines()
    )
    settings = [
        (above, line) for above, line in pairwise(lines) if line and not line.startswith("#")
    ]
    assert len(settings) > 20
    assert [line for above, line in settings if not above.startswith("#")] == []


def test_final_exit_codes_are_not_tried_again() -> None:
    """What supervisord counts as final for a daemon systemd counts as final for supervisord.

    Any other end is recovered, 0 too.
    """
    assert value("Restart") == "always"
    assert value("RestartPreventExitStatus") == " ".join(str(int(code)) for code in FINAL)


def test_timeouts_nest() -> None:
    """A start has time for the check of the settings; a hang is over in 30 s.

    Starts that fail slowly end as `failed` too.
    """
    assert seconds("TimeoutStartSec") > TIMEOUT
    longest = seconds("TimeoutStartSec") + seconds("RestartSec")
    assert seconds("StartLimitIntervalSec") >= int(value("StartLimitBurst")) * longest
    assert seconds("WatchdogSec") + seconds("TimeoutAbortSec") + seconds("RestartSec") < 25
