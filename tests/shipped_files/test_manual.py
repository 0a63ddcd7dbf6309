"""The man pages that scripts/manual.py writes.

They say what the command and the options say, in a form that man can read.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from support.servers import missing
from support.wait import run_to_end
from warren.cli import VERBS
from warren.config.settings import KINDS

SCRIPT = Path(__file__).parents[2] / "scripts" / "manual.py"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Each page as a reader sees it, on one line."""
    directory = tmp_path_factory.mktemp("man")
    run_to_end([sys.executable, str(SCRIPT), str(directory)], check=True)
    if shutil.which("man") is None:
        missing("man-db")
    return {path.name: shown(path) for path in directory.iterdir()}


def shown(page: Path) -> str:
    """What man shows; it must not find anything odd in the page."""
    arguments = [
        "man",
        "--warnings",
        "--no-hyphenation",
        "--no-justification",
        "--local-file",
        str(page),
    ]
    environment = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "MANWIDTH": "1000",
        "MAN_KEEP_FORMATTING": "",
    }
    done = run_to_end(arguments, capture_output=True, check=True, env=environment)
    assert done.stderr == ""
    return " ".join(done.stdout.split())


def test_every_verb_is_described(pages: dict[str, str]) -> None:
    """warren(1) has each verb of the command, with its options, and the exit codes."""
    assert [verb for verb in VERBS if f"warren {verb} [OPTIONS]" not in pages["warren.1"]] == []
    assert "--wait DURATION Wait this long" in pages["warren.1"]
    assert "78 The configuration is wrong; every problem was printed." in pages["warren.1"]


def test_every_option_is_described(pages: dict[str, str]) -> None:
    """warren.ini(5) has each option of each section, in words that lost no character on the way."""
    page = pages["warren.ini.5"]
    for section in KINDS:
        assert f"[{section.title}]" in page
        for option, field in section.model.model_fields.items():
            assert re.search(
                rf" {option} \([^()]*(\([^()]*\)[^()]*)*\) {re.escape(field.description or '')}",
                page,
            ), option
