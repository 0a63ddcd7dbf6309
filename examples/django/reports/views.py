"""The pages of the reports."""

from functools import partial
from uuid import UUID

from celery.result import AsyncResult
from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from reports.models import Report
from reports.tasks import make_report

_MOST_ROWS = 10_000


@require_http_methods(["GET", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """Show the button; start a report."""
    if request.method == "GET":
        return render(request, "reports/index.html", {"most": _MOST_ROWS})
    text = request.POST.get("rows", "")
    rows = int(text) if text.isdecimal() and len(text) < 9 else 0
    if not 1 <= rows <= _MOST_ROWS:
        problem = f"Expected 1 to {_MOST_ROWS} rows."
        context = {"most": _MOST_ROWS, "problem": problem}
        return render(request, "reports/index.html", context, status=400)
    with transaction.atomic():
        report = Report.objects.create(rows=rows)
        # After the commit: a worker that is faster than it would not find the report.
        send = partial(make_report.apply_async, (str(report.pk),), task_id=str(report.pk))
        transaction.on_commit(send)
    return redirect("detail", report.pk)


@require_GET
def detail(request: HttpRequest, report_id: UUID) -> HttpResponse:
    """Show the progress of a report."""
    return render(
        request, "reports/detail.html", {"report": get_object_or_404(Report, pk=report_id)}
    )


@require_GET
def state(request: HttpRequest, report_id: UUID) -> JsonResponse:
    """Answer with the state of the report's task."""
    report = get_object_or_404(Report, pk=report_id)
    result = AsyncResult(str(report.pk))
    found = {"state": result.state, "ended": result.ready()}
    if result.state == "PROGRESS":
        found |= {"done": result.info["done"], "total": result.info["total"]}
    return JsonResponse(found)


@require_GET
def file(request: HttpRequest, report_id: UUID) -> FileResponse:
    """Answer with the file of a report."""
    report = get_object_or_404(Report, pk=report_id)
    if not report.file:
        raise Http404("this report has no file yet")
    return FileResponse(report.file.open("rb"), as_attachment=True, filename="report.csv")
