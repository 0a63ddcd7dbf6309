"""Metadata of the package, in one place; pyproject.toml holds the build back end and the tools."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def shared(*directories: str) -> list[tuple[str, list[str]]]:
    """The files of these directories for PREFIX/share/warren: an absolute place would end up inside
    site-packages.
    """
    files = [
        path.relative_to(ROOT)
        for directory in directories
        for path in sorted((ROOT / directory).rglob("*"))
        if path.is_file()
    ]
    return [(f"share/warren/{file.parent}", [str(file)]) for file in files]


setup(
    name="warren",
    version="0.1.0",
    description="Runs a Celery processing queue in production on plain Linux hosts",
    license="BSD-3-Clause",
    license_files=["LICENSE"],
    author="the Warren authors",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: No Input/Output (Daemon)",
        "Intended Audience :: Developers",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: System :: Distributed Computing",
    ],
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    # 3.11.0 makes no value of an `auto()` within a tuple (logs/events.py).
    python_requires=">=3.11.1",
    package_dir={"": "daemons"},
    packages=find_packages("daemons"),
    package_data={"warren": ["py.typed"], "warren.web": ["page/*"]},
    data_files=shared("etc", "systemd", "monit"),
    install_requires=[
        # Exposes Task.Strategy with prefetch accounting that survives a reconnect.
        "celery[redis]>=5.7",
        "click>=8.1",
        "cronsim>=2.5",
        "pydantic>=2.7",
        "python-daemon>=3.0",
        "requests>=2.31",
        "rich>=13.7",
        "sdnotify>=0.3.2",
        "starlette>=0.40",
        "structlog>=24.1",
        "supervisor>=4.2.5",
        "tzdata",  # time zones on hosts without a zone database
        "uvicorn>=0.30",
    ],
    extras_require={
        "test": [
            "django>=5.2",
            "hypothesis>=6.100",
            "mypy>=1.11",
            "pytest>=8.2",
            "pytest-randomly>=3.15",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "ruff>=0.6",
            "schemathesis>=4.10",
            "selenium>=4.20",
            "types-requests>=2.31",
        ],
    },
    entry_points={"console_scripts": ["warren=warren.__main__:main"]},
)
