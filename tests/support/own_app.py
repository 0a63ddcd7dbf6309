"""A project with a Celery app of its own, as its tutorial and its users write it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import current_app

FILES = {
    "__init__": "from .celery import app as celery_app\n",
    "celery": """
from celery import Celery, Task

app = Celery("shop", broker="redis://:geheim@elsewhere/0", include=["{name}.more"])
app.config_from_object("{name}.settings")
app.conf.task_always_eager = True
app.autodiscover_tasks(["{name}"])

@app.task
def add(a, b):
    return a + b

@app.task(bind=True, shared=False)
def send(self, a):
    return add.delay(a, a).id

@app.on_after_finalize.connect
def note(sender, **_):
    sender.finalized = True

class Triple(Task):
    name = "{name}.triple"

    def run(self, a):
        return 3 * a

app.register_task(Triple())
""",
    "settings": """
result_extended = True
accept_content = ["json", "pickle"]  # refused
timezone = "Europe/Berlin"
""",
    "more": "from .celery import app\n\n@app.task\ndef more():\n    return 'more'\n",
    "tasks": """
from celery import shared_task

@shared_task
def shared():
    return "shared"
""",
}
#: The tasks of the project with the arguments of a call, and what they return.
TASKS = {
    "celery.add": ((1, 2), 3),
    "triple": ((3,), 9),
    "more.more": ((), "more"),
    "tasks.shared": ((), "shared"),
}


def write(directory: Path, name: str) -> None:
    """Writes the project as the package `name`."""
    (directory / name).mkdir(parents=True)
    for module, text in FILES.items():
        (directory / name / f"{module}.py").write_text(
            text.replace("{name}", name), encoding="utf-8"
        )


def extend(directory: Path, name: str, text: str) -> None:
    """Adds lines to the app's module, before the app is finalized by its last line."""
    module = directory / name / "celery.py"
    before, last, after = module.read_text(encoding="utf-8").partition("class Triple(")
    text = text.replace("{name}", name)
    module.write_text(f"{before}{text}\n{last}{after}", encoding="utf-8")


@contextmanager
def imported(directory: Path, test: str) -> Iterator[str]:
    """The package of a project of this test's own, which no other test has imported."""
    name = f"own_{abs(hash(test)) % 10**9}"
    write(directory, name)
    path = list(sys.path)
    before = current_app._get_current_object()
    yield name
    sys.path[:] = path
    before.set_current()
    before.set_default()
    for module in [each for each in sys.modules if each.partition(".")[0] == name]:
        del sys.modules[module]
