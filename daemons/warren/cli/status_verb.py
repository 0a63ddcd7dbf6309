"""`warren status`: every program of this host with its heartbeat, the queues, and the quotas."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import click

from warren.cli import status_tables
from warren.cli.privileges import Verb
from warren.cli.program_rows import program_status
from warren.config import Rate, Settings, load
from warren.errors import ConfigError, ExitCode, Unavailable
from warren.quotas.ledger import LEDGER_ERRORS, now_ns
from warren.quotas.ledgers import Ledgers
from warren.redaction.masker import redact
from warren.status import broker_file, programs_file, status_file
from warren.status.broker_report import QuotaError, QuotaStatus
from warren.status.suite_report import all_ready
from warren.system.printable import printable_lines


@click.command(cls=Verb)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show every program of this host with what it does, the queues and the quotas.

    Exit codes: 0 all programs are ready, 1 some are not, 69 the suite does not run or the broker
    does not answer.

    Example: warren status --json | jq .quotas
    """
    try:
        settings = load(**context.obj)
    except ConfigError as error:
        click.echo(printable_lines(redact(str(error))), err=True)
        click.echo(
            "a suite that already runs continues with its old settings; correct the files, "
            "then ask again",
            err=True,
        )
        sys.exit(error.exit_code)
    running = program_status(settings)
    said = broker_status_of(settings) or asked(settings)
    ready = bool(running) and all_ready(running)
    suite = _suite(settings)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "ready": ready,
                    **suite,
                    "programs": [asdict(program) for program in running],
                    **said,
                }
            )
        )
    else:
        status_tables.show(suite, running, said)
    sys.exit(
        ExitCode.UNAVAILABLE if said["broker_error"] else ExitCode.OK if ready else ExitCode.FAILURE
    )


def _suite(settings: Settings) -> dict[str, Any]:
    """Return the status of the whole suite, from supervisord's latest status report."""
    report = programs_file.read(settings.app.run_dir).known
    up = None
    if report is not None:
        up = round(max(0.0, status_file.now() - report.process.start / os.sysconf("SC_CLK_TCK")), 1)
    status = report.status if report is not None else ""
    return {"host": settings.host, "version": version("warren"), "status": status, "up_s": up}


def broker_status_of(settings: Settings) -> dict[str, Any] | None:
    """Return the status of broker, queues and quotas that the quota-watchdog has published.

    Returns None if the status is missing or old.
    """
    reading = broker_file.read(settings.app.run_dir)
    report = reading.known
    if report is None:
        return None
    broker = report.broker
    queues = [{"queue": queue, **asdict(row)} for queue, row in report.queues.items()]
    return {
        "queues": queues if broker.reachable else [],
        "quotas": [{"quota": name, **_quota_row(row)} for name, row in report.quotas.items()],
        "removed_queues": report.removed_queues if broker.reachable else {},
        "rejected": report.rejected.messages if broker.reachable else None,
        "later": report.later if broker.reachable else None,
        "returning": report.returning if broker.reachable else None,
        "rejected_keys": report.rejected_keys if broker.reachable else None,
        "alarms": broker.alarms,
        "broker_error": broker.reason or None,
        "results_error": report.results.reason or None,
        "broker_status_age_s": round(reading.age, 3),
    }


def _quota_row(quota: QuotaStatus | QuotaError) -> dict[str, Any]:
    row = asdict(quota)
    if isinstance(quota, QuotaStatus):
        row["limit"] = str(Rate(quota.limit, quota.window_s))
    return row


def asked(settings: Settings) -> dict[str, Any]:
    """Return the status of broker, queues and quotas without a watchdog.

    The broker is asked, and the ledgers are read. There are no forecasts and no alarms.
    """
    nothing: dict[str, Any] = {
        "removed_queues": {},
        "alarms": [],
        "results_error": None,
        "broker_status_age_s": None,
    }
    return {**_broker(settings), "quotas": _quotas(settings), **nothing}


def _broker(settings: Settings) -> dict[str, Any]:
    from warren.app.factory import plain_app  # Celery is needed in this case only
    from warren.broker.connect import reach
    from warren.broker.queue_depth import depths, depths_over
    from warren.broker.rejected_count import rejected_here, rejected_over
    from warren.broker.waiting_counts import Waiting, waiting_here, waiting_over
    from warren.cli.call_verb import told

    state = settings.app.state_dir
    try:
        app = plain_app(settings)
        with told(app, settings):
            # Only the embedded broker's files are read: a connection would make its directories.
            if settings.broker.kind == "embedded":
                found, rejected, waiting = (
                    depths(app, settings.queues),
                    rejected_here(state),
                    waiting_here(state),
                )
            else:
                with reach(app) as connection:
                    found, rejected = (
                        depths_over(connection, settings.queues),
                        rejected_over(connection, state),
                    )
                    waiting = waiting_over(connection, settings)
    except Unavailable as error:
        nothing = dict.fromkeys(("rejected", *Waiting._fields))
        return {"queues": [], **nothing, "broker_error": redact(str(error))}
    rows = [{"queue": queue, "messages": messages} for queue, messages in found.items()]
    return {"queues": rows, "rejected": rejected, **waiting._asdict(), "broker_error": None}


def _quotas(settings: Settings) -> list[dict[str, Any]]:
    rows = []
    for name, ledger in Ledgers(settings).items():
        row: dict[str, Any] = {"quota": name, "limit": str(settings.quotas[name].limit)}
        try:
            counts = ledger.counts()
        except FileNotFoundError:
            rows.append({**row, "error": "no ledger yet: the first worker makes the ledger"})
            continue
        except LEDGER_ERRORS as error:
            rows.append({**row, "error": str(error)})
            continue
        wait = counts.wait_s(now_ns())
        row = {
            **asdict(counts),
            **row,
            "limit": str(Rate(counts.limit, counts.window_s)),
            "used": counts.used,
        }
        rows.append({**row, "next_free_s": wait if wait is None else round(wait, 3)})
    return rows
