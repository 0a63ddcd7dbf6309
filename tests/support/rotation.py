"""The shipped logrotate configuration, made to work in a test's directory."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from pathlib import Path

from support.servers import missing
from support.wait import run_to_end

SHIPPED = Path(__file__).parents[2] / "etc" / "logrotate.d" / "warren"


def adapted(log_dir: Path, directory: Path) -> Path:
    """Write a copy of the shipped file to `directory`, for `log_dir` and the test's user.

    Nothing else differs.
    """
    text = SHIPPED.read_text(encoding="utf-8")
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    for old, new in (
        ("\n/var/log/warren/", f"\n{log_dir}/"),
        ("su warren warren", f"su {user} {group}"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = directory / "logrotate.conf"
    path.touch(mode=0o600)  # logrotate takes no configuration that others may write
    path.write_text(text, encoding="utf-8")
    return path


def logrotate(configuration: Path, *options: str) -> str:
    """Runs the real logrotate and returns what it said."""
    program = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        missing("logrotate")
    state = configuration.with_suffix(".state")
    done = run_to_end(
        [str(program), "--state", str(state), *options, str(configuration)],
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
