"""Sends a task from a program of your own, with the settings in WARREN_CONFIG or, without it, in
/etc/warren.
"""

import os
import sys
from pathlib import Path

from warren.app.factory import make_app
from warren.config import load
from warren.errors import ConfigError

# each in a line: where, what was expected, what was found, what to do
try:
    settings = load(Path(os.environ.get("WARREN_CONFIG", "/etc/warren")))
except ConfigError as problems:
    sys.exit(str(problems))
app = make_app(settings)

# By its name: the code of the task need not be here. After `make_app`, `fetch_price.delay(7)` works
# as well.
result = app.send_task("shop.fetch_price", [7])
print(result.get(timeout=60))
