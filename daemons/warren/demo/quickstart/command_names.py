"""The words that call the quickstart and `warren`, in the source tree or in an installed package.

An installed package has no scripts/.
"""

from __future__ import annotations

import sys
from pathlib import Path


def typed(prefix: Path) -> tuple[str, str]:
    """Return the words that call the quickstart and `warren` in the environment of this prefix."""
    if (prefix.parent / "scripts" / "quickstart").is_file():
        return "./scripts/quickstart", ".venv/bin/warren"
    python = f"{sys.executable} -P -m"
    return f"{python} warren.demo.quickstart", f"{python} warren"
