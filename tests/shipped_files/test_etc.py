"""The shipped /etc/warren against the options as they are declared."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from warren.config import Rate, load
from warren.config.option_types import kind
from warren.config.settings import KINDS, SectionKind

ETC = Path(__file__).parents[2] / "etc" / "warren"
TEXT = (ETC / "warren.ini").read_text(encoding="utf-8")

#: What an example must say although it is not the default: without it the section would be refused.
EXAMPLES = {
    ("quota", "limit"): "1000/h",
    ("schedule", "task"): "shop.tasks.tidy",
    ("schedule", "every"): "30s",
}


def uncommented(text: str) -> str:
    """The text with its example sections in force: their lines have no space behind the #."""
    return re.sub(r"^#(?=[\[a-z])", "", text, flags=re.MULTILINE)


def wrapped(text: str) -> list[str]:
    """A comment of the file, in lines of at most 100 columns."""
    return textwrap.wrap(
        text, 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )


def test_shipped_file_works() -> None:
    """The file as shipped loads without a problem and runs one worker.

    The host has no file of its own.
    """
    settings = load(ETC, "some-host")
    assert settings.files == (ETC / "warren.ini",)
    assert list(settings.workers) == ["main"]


def test_examples_work(tmp_path: Path) -> None:
    """With all the examples in force the file still loads, and every kind of section is there."""
    (tmp_path / "warren.ini").write_text(uncommented(TEXT))
    settings = load(tmp_path, "some-host")
    assert settings.quotas["crawl"].limit == Rate(1000, 3600.0)
    assert {heading.partition(":")[0] for heading, _ in settings.sections()} == {
        kind.word for kind in KINDS
    }
    assert settings.celery


@pytest.mark.parametrize("section", KINDS, ids=lambda section: section.word)
def test_every_option_at_its_default(section: SectionKind) -> None:
    """Each section has exactly its options, in their order, at their defaults.

    They stand under their help and form.
    """
    heading = rf"\[{section.word}:\w+\]" if section.named else rf"\[{section.word}\]"
    match = re.search(rf"^#?{heading}\n((?:.+\n)+)", TEXT, flags=re.MULTILINE)
    assert match is not None
    expected = []
    for option, field in section.model.model_fields.items():
        form = kind(field)
        value = EXAMPLES.get((section.word, option)) or form.text(field.default)
        expected += wrapped(f"{field.description} ({form.form})")
        expected.append(f"{option} = {value}".rstrip())
    assert uncommented(match[1]).splitlines() == expected


@pytest.mark.parametrize(
    ("host", "limit", "queues"),
    [
        ("server", Rate(1000, 3600.0), ("server", "laptop")),
        ("laptop", Rate(150, 3600.0), ("laptop", "server")),
    ],
)
def test_example_hosts(host: str, limit: Rate, queues: tuple[str, ...]) -> None:
    """The two example hosts load together with warren.ini, each with its own limit.

    Both take both queues.
    """
    settings = load(ETC, host)
    assert settings.quotas["provider"].limit == limit
    assert settings.workers["collect"].queues == queues
    assert settings.queues["server"].binding_key == "server_task"
    assert settings.queues["laptop"].binding_key == "laptop_task"
    assert settings.quotas_of("warren.demo.collect") == ("provider",)
    assert settings.queue_of("warren.demo.collect") == "server"


def test_example_of_conf_d(tmp_path: Path) -> None:
    """The file that conf.d/README shows loads as it stands there, once its directory exists."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "warren.ini").write_text(TEXT)
    readme = (ETC / "conf.d" / "README").read_text(encoding="utf-8")
    example = "".join(
        f"{line[4:]}\n" for line in readme.splitlines() if line.startswith("    ") or not line
    )
    (tmp_path / "conf.d" / "shop.ini").write_text(
        example.replace("/srv/shop", str(tmp_path / "shop"))
    )
    settings = load(tmp_path, "some-host")
    assert settings.quotas["site"].limit == Rate(1000, 3600.0)
    assert settings.queue_of("shop.tasks.crawl") == "crawl"


def documented_options() -> str:
    """The tables of docs/configuration.md, as the declarations of the options have them."""
    lines = []
    for section in KINDS:
        lines += [
            f"### [{section.title}]",
            "",
            (section.model.__doc__ or "").strip().replace("\n    ", " "),
            "",
        ]
        lines += ["| option | value | default | meaning |", "|---|---|---|---|"]
        for option, field in section.model.model_fields.items():
            default = "required" if field.is_required() else kind(field).text(field.default)
            shown = f"`{default}`" if default and not field.is_required() else default or "empty"
            lines.append(f"| `{option}` | {kind(field).form} | {shown} | {field.description} |")
        lines.append("")
    return "\n".join(lines)


def test_documentation_is_complete() -> None:
    """The guide's tables are those of the declared options.

    When they differ, put the expected text into the guide.
    """
    guide = (ETC.parents[1] / "docs" / "configuration.md").read_text(encoding="utf-8")
    tables = guide.partition("<!-- options -->\n")[2].partition("<!-- end of options -->")[0]
    assert tables.strip() == documented_options().strip()
