"""Tasks that many tests need, as texts of a module."""

from __future__ import annotations

from support.calls import NOTING

ADD = """
from celery import shared_task

@shared_task(name="jobs.add")
def add(a, b):
    return a + b
"""
#: Notes that it ran.
NOTE = """
from celery import shared_task

@shared_task(name="jobs.note")
def plain(path):
    note(path)
"""
#: The same, for a quota.
CALL = """
from celery import shared_task

@shared_task(name="jobs.call")
def call(path):
    note(path)
"""
#: A module of all three.
SAMPLE = NOTING + ADD + NOTE + CALL
