"""`ra orders reconcile`: what the CA has against what was published, with a key that can only look."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from prometheus_client import CollectorRegistry

from services.desk.exits import Exit, usage
from services.desk.files import read_input
from services.desk.frame import Desk
from services.desk.reconciliation import KINDS
from services.desk.reconciling import Reconciliation, Reconciling, Scope
from services.desk.render import moment
from shared.client.client import RaClient
from shared.clock import SystemClock
from shared.config import CaSettings
from shared.digicert.opening import open_reader
from shared.errors import RefusedError
from shared.observability.metrics import ReconciliationMetrics
from shared.vocabulary.findings import finding
from shared.vocabulary.names import OrderId

MAX_KNOWN_BYTES = 8 * 1024 * 1024
TURN_SECONDS = 600.0
"""For so long a call may wait for its turn under the key's rate limit; the longest documented window is 180 s."""


def reconcile(
    desk: Desk,
    *,
    ca_url: Annotated[
        str | None, typer.Option(metavar="URL", help="The CA's API; else [ca] url of the profile.")
    ] = None,
    ca_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A view-only API key of your own; else [ca] api_key_file of the profile."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Leave older orders out (UTC)."),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(metavar="GROUP", help="Only requests of this approval group, and no orphans; may be repeated."),
    ] = None,
    known: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Numbers of orders that are others', or dealt with, one a line; # comments."),
    ] = None,
    grace_minutes: Annotated[int, typer.Option(min=0, help="How long an order may wait to be published.")] = 60,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Believe the list of orders: see no reissues, duplicates and single revocations."),
    ] = False,
    metrics_file: Annotated[
        Path | None, typer.Option(metavar="FILE.prom", help="Write metrics for Prometheus' textfile collector.")
    ] = None,
) -> None:
    """Compare the CA's orders with what was published, and say what to do about each difference.

    Nothing is changed, here or at the CA. It needs the permission `audit` for every approval group, and an anchor.
    Status 0 if nothing is wrong, 4 if something is, 6 if the CA or intake could not be asked.
    """
    anchor = desk.anchor
    if anchor is None:
        raise RefusedError(finding("config.anchor-missing", "the profile names no anchor: see [trust]"))
    scope = Scope(
        since=since and since.replace(tzinfo=UTC),
        groups=tuple(group or ()),
        known=frozenset(_numbers(known)) if known else frozenset(),
        grace=timedelta(minutes=grace_minutes),
        quick=quick,
    )
    reader = open_reader(_ca(desk, ca_url, ca_key), CollectorRegistry(), patience=TURN_SECONDS)

    async def run(client: RaClient) -> Reconciliation:
        async with reader:
            return await Reconciling(client, reader, anchor, SystemClock(), scope)()

    report = desk.ask(run)
    if metrics_file is not None:
        _write_metrics(report, metrics_file)
    desk.screen.result(report)
    _tell(desk, report)
    if not report.is_clean:
        raise typer.Exit(Exit.REFUSED)


def _ca(desk: Desk, url: str | None, key: Path | None) -> CaSettings:
    """How to reach the CA, by the options and else by the profile."""
    named = desk.profile.ca
    if named is None:
        if url is None or key is None:
            raise usage("--ca-url and --ca-key are needed, as the profile has no [ca]")
        return CaSettings(url=url, api_key_file=key)
    return named.model_copy(update={"url": url or named.url, "api_key_file": key or named.api_key_file})


def _numbers(path: Path) -> Iterator[OrderId]:
    text = read_input(path, limit=MAX_KNOWN_BYTES).decode("utf-8", "replace")
    for line, content in enumerate(text.splitlines(), start=1):
        number = content.partition("#")[0].strip()
        if not number:
            continue
        if not (number.isascii() and number.isdecimal()):
            raise usage(f"{path}, line {line}: an order's number is digits, and what follows # is a comment")
        yield OrderId(int(number))


def _write_metrics(report: Reconciliation, path: Path) -> None:
    metrics = ReconciliationMetrics(KINDS)
    found = (each.finding.code.removeprefix("reconcile.") for each in report.discrepancies)
    metrics.succeeded(found, orders=report.orders, at=report.at)
    metrics.write(path)


def _tell(desk: Desk, report: Reconciliation) -> None:
    since = "" if report.since is None else f" since {report.since.date()}"
    desk.screen.say(f"{report.requests} requests and {report.orders} orders{since}, {moment(report.at)}")
    desk.screen.say(f"Approval groups: {', '.join(report.groups)}" + ("" if report.complete else "; not all there are"))
    for each in report.discrepancies:
        desk.screen.findings([each.finding])
        numbers = {"request": each.request_id, "order": each.order_id, "certificate": each.certificate_id}
        desk.screen.say("  " + ", ".join(f"{name} {number}" for name, number in numbers.items() if number is not None))
        desk.screen.say(f"  {each.proposal}")
    desk.screen.say("Nothing is wrong." if report.is_clean else "Something is wrong, or can't be told.")
