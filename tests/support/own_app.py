"""A project with a Celery app of its own, as its tutorial and its users write it."""

from __future__ import annotations

from pathlib import Path

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
