"""Send a task from a program of your own.

The settings are those of the directory WARREN_CONFIG or, without it, of /etc/warren.
"""

import os
import sys
from pathlib import Path

from warren.app.factory import make_app
from warren.config import load
from warren.errors import ConfigError

try:
    settings = load(Path(os.environ.get("WARREN_CONFIG", "/etc/warren")))
# One line for each problem: where, what was expected, what was found, what to do.
except ConfigError as problems:
    sys.exit(str(problems))
app = make_app(settings)

# The task is sent by its name, so its code need not be here. After `make_app`,
# `fetch_price.delay(7)` works as well.
result = app.send_task("shop.fetch_price", [7])
print(result.get(timeout=60))
