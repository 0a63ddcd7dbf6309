"""What README and guides tell people to type exists, and does what the words say."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from support.suite import ENVIRONMENT, WARREN
from support.wait import run_to_end
from warren.cli.program_rows import ProgramRow
from warren.config import load
from warren.errors import FINAL, ExitCode
from warren.quotas.slot_counts import Counts

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def code_lines(path: Path) -> list[str]:
    """Lines of code blocks, indented or fenced, without their comments."""
    found, fenced = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            found.append(re.sub(r"\s+#.*", "", line.strip()))
    return [line.removeprefix("$ ") for line in found if line]


SCRIPT_OR_VERB = re.compile(r"(warren|\./scripts/\w+|scripts/\w+)( |$)")
COMMANDS = sorted(
    {line for path in DOCUMENTS for line in code_lines(path) if SCRIPT_OR_VERB.match(line)}
)


def test_the_documents_name_commands() -> None:
    """The test would notice if it read no commands at all."""
    assert {"./scripts/quickstart", "./scripts/test", "warren check", "warren supervise"} <= set(
        COMMANDS
    )


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("warren")])
def test_each_documented_verb_and_option_exists(line: str) -> None:
    """`warren` knows the verb, and every option that stands in the line."""
    arguments = re.split(r"\s*[|>&;]", line)[0].split()[1:]
    globally = [word.split("=")[0] for word in arguments if word.startswith("--")]
    values = {"--config", "--host"}
    verbs = [
        word
        for position, word in enumerate(arguments)
        if not word.startswith("-") and (not position or arguments[position - 1] not in values)
    ]
    helps = [said("--help"), said(verbs[0], "--help")] if verbs else [said("--help")]
    assert not [option for option in globally if not any(option in text for text in helps)]


def said(*arguments: str) -> str:
    """What `warren WORDS` prints."""
    done = run_to_end([str(WARREN), *arguments], env=ENVIRONMENT, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("line", [line for line in COMMANDS if not line.startswith("warren")])
def test_each_documented_script_exists(line: str) -> None:
    """The script is there, may be run, and bash can read it."""
    script = ROOT / line.split()[0]
    assert script.stat().st_mode & 0o111
    run_to_end(["bash", "-n", str(script)], check=True)


def test_the_configuration_of_the_readme_is_right(tmp_path: Path) -> None:
    """The example in README.md loads without a problem, with its secret in place."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```ini\n(.*?)```", text, re.DOTALL)
    secret = tmp_path / "broker-url"
    secret.touch(mode=0o600)
    secret.write_text("redis://127.0.0.1/0", encoding="utf-8")
    (tmp_path / "warren.ini").write_text(
        example.replace("/etc/warren/secrets/broker-url", str(secret)), encoding="utf-8"
    )
    settings = load(tmp_path)
    assert settings.queue_of("shop.fetch_page") == "pages"
    assert settings.quotas_of("shop.fetch_page") == ("provider",)


def test_the_page_of_commands_lists_the_exit_codes() -> None:
    """The table equals errors.py, and so does what is said of the final ones."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (.*) \|$", text, re.MULTILINE)
    assert rows == [(str(int(code)), code.name, code.meaning) for code in ExitCode]
    assert "unless it ended with {}, {} or {}:".format(*map(int, FINAL)) in text


def test_the_page_of_the_status_names_every_field() -> None:
    """docs/status.md has a row for each field of a program and of a quota."""
    text = (ROOT / "docs" / "status.md").read_text(encoding="utf-8")
    named = {
        name
        for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert {field.name for row in (ProgramRow, Counts) for field in fields(row)} <= named


def test_the_readme_names_every_room() -> None:
    """The table of rooms has each file and directory of the package, and no other."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = {
        name.rstrip("/")
        for row in re.findall(r"^\| ((?:`[\w./]+` ?)+)\|", text, re.MULTILINE)
        for name in re.findall(r"`([\w./]+)`", row)
    }
    there = {
        path.name
        for path in (ROOT / "daemons" / "warren").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert there - {"__init__.py", "__main__.py"} == named


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_each_link_leads_somewhere(path: Path) -> None:
    """A reader who follows a link finds the file, and the heading in it."""
    links = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", path.read_text(encoding="utf-8"))
    assert [
        link for link in links if not _leads(path.parent / link[0] if link[0] else path, link[1])
    ] == []


def _leads(target: Path, anchor: str) -> bool:
    if not anchor or not target.exists():
        return target.exists()
    headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
    return anchor in [
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
    ]
