"""The beat_schedule of a project, as its authors write it."""

from __future__ import annotations

#: The end of a module with an `app` and a task `add`: three entries, each written another way.
GOOD = """
from datetime import timedelta
from celery.schedules import crontab, schedule

app.conf.timezone = "UTC"
app.conf.beat_schedule = {
    "every second": {"task": "{name}.celery.add", "schedule": 1, "args": (20, 3)},
    "nightly": {
        "task": "{name}.celery.add",
        "schedule": crontab(minute=0, hour=3),
        "kwargs": {"a": 1, "b": 2},
        "options": {"queue": "other", "expires": 3600, "priority": None},
    },
}

@app.on_after_finalize.connect
def periodic(sender, **_):
    sender.add_periodic_task(schedule(timedelta(minutes=5)), add.s(1, 1), name="late")
"""
