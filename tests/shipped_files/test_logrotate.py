"""etc/logrotate.d/warren, as the real logrotate reads it."""

from __future__ import annotations

from pathlib import Path

from support.rotation import SHIPPED, adapted, logrotate
from warren.config import AppSettings


def test_logrotate_takes_the_shipped_file(tmp_path: Path) -> None:
    """logrotate reads it without a complaint and means to rotate the logs, and only them."""
    log_dir = tmp_path / "log"
    log_dir.mkdir()
    for name in ("worker.log", "supervisord.log", "worker-main.out"):
        (log_dir / name).write_text("{}\n", encoding="utf-8")
    said = logrotate(adapted(log_dir, tmp_path), "--debug", "--force")
    assert not [
        line
        for line in said.splitlines()
        if line.startswith(("error", "warning")) and "debug mode" not in line
    ]
    for name in ("worker.log", "supervisord.log"):
        assert f"renaming {log_dir}/{name} to {log_dir}/{name}.1" in said
    assert ".out" not in said


def test_it_rotates_the_default_log_directory() -> None:
    """The directory is the one that the daemons write to unless they are told otherwise."""
    assert f"\n{AppSettings().log_dir}/*.log {{\n" in SHIPPED.read_text(encoding="utf-8")
