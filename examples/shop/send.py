"""Sends a task from a program of your own."""

from pathlib import Path

from warren.app import make_app
from warren.config import load

app = make_app(load(Path("/tmp/shop/etc")))  # noqa: S108  the folder of the example

# By its name: the code of the task need not be here. After `make_app`, `fetch_price.delay(7)` works as well.
result = app.send_task("shop.fetch_price", [7])
print(result.get(timeout=60))
