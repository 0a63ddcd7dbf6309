"""What is in the Debian package, compared with the tree that it was built from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.package import ROOT, deb
from support.suite import ENVIRONMENT
from support.wait import run_to_end
from warren.config import load

HOME = Path("usr/lib/warren")
#: Directories of the tree whose every file has its place on a host.
PLACED = ("etc", "systemd", "monit")


@pytest.fixture(scope="session")
def package() -> Path:
    """The package of this tree."""
    return deb()


@pytest.fixture(scope="session")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files of the package, and its scripts in DEBIAN/."""
    directory = tmp_path_factory.mktemp("package") / "root"
    run_to_end(["dpkg-deb", "--raw-extract", str(package), str(directory)], check=True)
    return directory


@pytest.fixture(scope="session")
def files(unpacked: Path) -> set[Path]:
    """Every file and link of the package, but for the libraries."""
    found = (
        path.relative_to(unpacked)
        for path in unpacked.rglob("*")
        if path.is_symlink() or not path.is_dir()
    )
    return {
        path
        for path in found
        if path.parts[0] != "DEBIAN" and not path.is_relative_to(HOME / "lib")
    }


def debian_python() -> str:
    """The name of this machine's own Python, which the package is made for."""
    return Path("/usr/bin/python3").resolve().name


def test_the_package_wants_the_python_that_it_is_made_for(unpacked: Path) -> None:
    """On another release of Debian apt refuses it.

    There its environment would have no interpreter.
    """
    control = (unpacked / "DEBIAN/control").read_text(encoding="utf-8")
    minor = int(debian_python().removeprefix("python3."))
    assert f"\nDepends: python3 (>= 3.{minor}), python3 (<< 3.{minor + 1}), " in control


def test_every_file_of_the_tree_has_a_place(unpacked: Path, files: set[Path]) -> None:
    """Each file that the tree keeps for a host is in the package as it is.

    scripts/install is told of new ones.
    """
    placed = [unpacked / path for path in files if not path.is_relative_to(HOME / "share")]
    shipped = {path.read_bytes() for path in placed if not path.is_symlink()}
    sources = [
        path for directory in PLACED for path in (ROOT / directory).rglob("*") if path.is_file()
    ]
    assert len(sources) > 5
    assert [
        str(path.relative_to(ROOT)) for path in sources if path.read_bytes() not in shipped
    ] == []


def test_nothing_but_what_is_expected_is_outside_the_environment(files: set[Path]) -> None:
    """The directories that the package writes to; nothing of the builder's is among them."""
    directories = {
        str(path.parent)
        for path in files
        if not path.is_relative_to("usr/share/doc") and not path.is_relative_to(HOME)
    }
    assert directories == {
        "etc/logrotate.d",
        "etc/monit/conf-available",
        "etc/warren/conf.d",
        "lib/systemd/system",
        "lib/systemd/system/monit.service.d",
        "usr/bin",
        "usr/lib/sysusers.d",
        "usr/lib/tmpfiles.d",
        "usr/share/bash-completion/completions",
        "usr/share/fish/vendor_completions.d",
        "usr/share/lintian/overrides",
        "usr/share/man/man1",
        "usr/share/man/man5",
        "usr/share/zsh/vendor-completions",
    }
    assert {path.name for path in files if path.parent == HOME / "bin"} == {
        "python",
        "python3",
        debian_python(),
    }


def test_files_that_operators_edit_are_conffiles(unpacked: Path, files: set[Path]) -> None:
    """An upgrade asks before it replaces an edited file of /etc, and replaces all others."""
    conffiles = (unpacked / "DEBIAN" / "conffiles").read_text(encoding="utf-8").splitlines()
    assert sorted(conffiles) == sorted(f"/{path}" for path in files if path.parts[0] == "etc")
    assert "/etc/monit/conf-available/warren" in conffiles


def test_no_upgrade_asks_about_settings(unpacked: Path, files: set[Path]) -> None:
    """What an operator may edit in /etc/warren is copied there once, and is no conffile.

    dpkg would ask with the suite down.
    """
    conffiles = (unpacked / "DEBIAN" / "conffiles").read_text(encoding="utf-8")
    copied = {path.name for path in files if path.parent == HOME / "defaults"}
    assert copied == {"warren.ini", "supervisord.conf"}
    assert not [name for name in copied if f"/etc/warren/{name}" in conffiles]
    before, debhelper, _ = (
        (unpacked / "DEBIAN/postinst")
        .read_text(encoding="utf-8")
        .partition("start 'warren.service'")
    )
    assert debhelper
    assert all(name in before for name in copied), (
        "expected the settings to be there when the suite starts"
    )


def test_settings_of_a_fresh_host_are_right(unpacked: Path) -> None:
    """The short warren.ini loads by itself and runs one worker.

    Every option is explained in the place that it names.
    """
    (text,) = [path for path in (unpacked / HOME / "defaults").iterdir() if path.suffix == ".ini"]
    settings = load(text.parent, "some-host")
    assert list(settings.workers) == ["main"]
    (explained,) = re.findall(r"/usr/share/doc/\S+\.ini", text.read_text(encoding="utf-8"))
    assert "state_dir = " in (unpacked / explained.lstrip("/")).read_text(encoding="utf-8")


def test_the_environment_is_the_pinned_one(unpacked: Path) -> None:
    """The libraries are those of constraints.txt in these versions.

    Nothing of the tests and no pip is among them.
    """
    pinned = re.findall(
        r"^([\w.-]+)==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    wanted = {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in pinned}
    infos = (unpacked / HOME / "lib" / debian_python() / "site-packages").glob("*.dist-info")
    found = {
        (re.sub(r"[-_.]+", "-", name).lower(), version)
        for name, version in (info.stem.rsplit("-", 1) for info in infos)
    }
    found = {(name, version) for name, version in found if name != "warren"}
    assert found <= wanted
    assert {"celery", "pydantic", "supervisor"} <= {name for name, _ in found}
    assert {"pip", "setuptools", "pytest", "mypy"}.isdisjoint(name for name, _ in found)


def test_no_path_of_the_builder_is_left(unpacked: Path) -> None:
    """The environment works where it is installed.

    Settings, command and compiled files name only that path.
    """
    assert (
        (unpacked / "usr/bin/warren")
        .read_text(encoding="utf-8")
        .startswith("#!/usr/lib/warren/bin/python -I\n")
    )
    assert "/usr/bin" in (unpacked / HOME / "pyvenv.cfg").read_text(encoding="utf-8")
    site = unpacked / HOME / "lib" / debian_python() / "site-packages"
    (compiled,) = (site / "warren/__pycache__").glob("errors.cpython-*.pyc")
    assert (
        f"/usr/lib/warren/lib/{debian_python()}/site-packages/warren/errors.py".encode()
        in compiled.read_bytes()
    )
    staged = [
        path
        for path in site.rglob("*")
        if path.is_file() and b"debian/warren/usr" in path.read_bytes()
    ]
    assert staged == []


def test_the_scripts_of_the_package_can_be_read(unpacked: Path) -> None:
    """Each maintainer script is plain sh."""
    scripts = [
        path
        for path in (unpacked / "DEBIAN").iterdir()
        if path.name in {"preinst", "postinst", "prerm", "postrm"}
    ]
    assert scripts
    for script in scripts:
        run_to_end(["sh", "-n", str(script)], check=True)


def test_an_upgrade_stops_the_suite_before_its_files_change(unpacked: Path) -> None:
    """The suite imports late: it must not find another version's modules.

    The new one is started when it is whole.
    """
    assert "stop 'warren.service'" in (unpacked / "DEBIAN/preinst").read_text(encoding="utf-8")
    assert "start 'warren.service'" in (unpacked / "DEBIAN/postinst").read_text(encoding="utf-8")


def test_the_guides_link_to_each_other(unpacked: Path) -> None:
    """On a host, too, a reader who follows a link finds the guide or the example."""
    doc = unpacked / "usr/share/doc/warren"
    guides = [doc / "README.md", *(doc / "docs").glob("*.md")]
    links = {
        (guide, link)
        for guide in guides
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", guide.read_text("utf-8"))
    }
    assert len(links) > 20
    targets = {link: (guide.parent / link).resolve() for guide, link in links}
    targets = {
        link: path if path.is_relative_to(unpacked) else unpacked / path.relative_to("/")
        for link, path in targets.items()
    }
    assert {link for link, path in targets.items() if not path.exists()} == set()


def test_an_installation_without_an_index_says_so_first(tmp_path: Path) -> None:
    """Where pip cannot have what it needs, the first line says so in Warren's words.

    It stands behind the progress; pip's lines come after.
    """
    environment = {**ENVIRONMENT, "PIP_NO_INDEX": "1", "DESTDIR": str(tmp_path)}
    script = str(ROOT / "scripts" / "install")
    done = run_to_end([script], env=environment, capture_output=True)
    _, _, said, *pip = done.stderr.splitlines()
    assert done.returncode == 1
    assert said.startswith("scripts/install: expected Python's package index")
    assert pip
