"""The task that makes a report."""

import csv
import io
import logging
import time

from celery import shared_task
from django.core.files.base import ContentFile

import warren
from reports.models import Report

logger = logging.getLogger(__name__)


@shared_task
def make_report(report_id: str) -> int:
    """Write the report's file; return the number of its rows.

    It may run twice: the second run replaces the file of the first.
    """
    report = Report.objects.get(pk=report_id)
    text = io.StringIO()
    writer = csv.writer(text)
    for row in warren.progress(range(report.rows), note="rows"):
        writer.writerow([row, row * row])
        time.sleep(0.05)
    if report.file:
        report.file.delete(save=False)
    report.file.save(f"{report.pk}.csv", ContentFile(text.getvalue().encode()))
    logger.info("report %s has %d rows", report.pk, report.rows)
    return report.rows
