"""`ra desk`: what an approver does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from services.desk.case_view import show_case
from services.desk.commands import full_screen
from services.desk.deciding import told
from services.desk.exits import DeskError, Exit, Failure, ending, usage
from services.desk.frame import Desk, RequestArgument, RequestArguments, age, command, request_id
from services.desk.render import Screen
from services.desk.views import PENDING_COLUMNS, pending_row
from shared.client.case import ShownCase
from shared.client.client import RaClient
from shared.client.errors import ClientError, CommandRefusedError
from shared.contracts.replies import CaseResult, DecisionResult
from shared.errors import RefusedError
from shared.evidence.steps import MOST_AT_ONCE, DecisionKind
from shared.vocabulary.names import Digest, RequestId

app = typer.Typer(help="Decide on requests; in a terminal, `ra desk` alone opens the full-screen desk.")
full_screen.register(app)

NoteOption = Annotated[str, typer.Option("--note", help="Why; it is signed with the decision.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
RevisionOption = Annotated[
    str | None,
    typer.Option(metavar="DIGEST", help="Decide only on this revision, as `show` printed it; for one request."),
]


@command(app, "list")
def list_pending(
    desk: Desk,
    *,
    group: Annotated[str | None, typer.Option(metavar="NAME", help="Only this approval group.")] = None,
    text: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only with this in id, name, subject or requester.")
    ] = None,
    requester: Annotated[str | None, typer.Option(metavar="NAME", help="Only requests of this identity.")] = None,
    older_than: Annotated[
        timedelta | None,
        typer.Option(metavar="AGE", parser=age, help="Such as 30m, 12h or 3d: only those that wait longer."),
    ] = None,
    younger_than: Annotated[
        timedelta | None, typer.Option(metavar="AGE", parser=age, help="Only those that have not waited so long yet.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="REQUEST", parser=request_id, help="Go on from here, to younger ones.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 50,
) -> None:
    """List the requests that wait for a decision, oldest first."""
    now = datetime.now(UTC)
    page = desk.ask(
        lambda client: client.list_pending(
            approval_group=group,
            after=after,
            limit=limit,
            text=text,
            requester=requester,
            accepted_before=None if older_than is None else now - older_than,
            accepted_after=None if younger_than is None else now - younger_than,
        )
    )
    desk.screen.result(page)
    desk.screen.listing(PENDING_COLUMNS, map(pending_row, page.cases), empty="No such request waits for a decision.")
    if page.more:
        desk.screen.say(f"There are more: the same with --after {page.next}")


@command(app, "show")
def show(desk: Desk, *, request: RequestArgument) -> None:
    """Show exactly what a decision on this request is signed for."""
    case, _ = _shown(desk, request, desk.screen)
    desk.screen.result(case)


@command(app, "approve")
def approve(
    desk: Desk,
    *,
    requests: RequestArguments,
    note: NoteOption = "",
    yes: YesOption = False,
    revision: RevisionOption = None,
) -> None:
    """Approve requests with your signature, after all have been shown and confirmed."""
    _decide(desk, requests, DecisionKind.APPROVE, note, yes=yes, revision=revision)


@command(app, "deny")
def deny(
    desk: Desk,
    *,
    requests: RequestArguments,
    note: NoteOption = "",
    yes: YesOption = False,
    revision: RevisionOption = None,
) -> None:
    """Deny requests with your signature, after all have been shown and confirmed. One denial is enough."""
    _decide(desk, requests, DecisionKind.DENY, note, yes=yes, revision=revision)


def _shown(desk: Desk, request: str, screen: Screen) -> tuple[CaseResult, Digest]:
    """The case, shown to the person, and the digest of what was shown."""

    async def look(client: RaClient) -> tuple[CaseResult, ShownCase]:
        case = await client.show_case(request)
        return case, client.read(case)

    case, shown = desk.ask(look)
    show_case(screen, case, shown)
    return case, shown.digest


def _decide(
    desk: Desk, requests: Sequence[str], kind: DecisionKind, note: str, *, yes: bool, revision: str | None
) -> None:
    """Show all, ask once, sign once. Each is judged on its own, and the first failure is the exit status."""
    named = list(dict.fromkeys(requests))
    if revision is not None and len(named) != 1:
        raise usage("--revision goes with exactly one request")
    if len(named) > MOST_AT_ONCE:
        raise usage(f"one signature decides on {MOST_AT_ONCE} requests at most")
    desk.require_signer()
    failures = _Failures(desk.screen, alone=len(named) == 1)
    cases = _looked_at_all(desk, named, revision, failures)
    if cases and not yes and not confirmed(_question(kind, len(cases))):
        for case in cases:
            desk.screen.say(f"Request {case.request_id} is left as it is.")
    else:
        for request, result in _answers(desk, cases, kind, note).items():
            if isinstance(result, ClientError):
                failures.add(request, ending(result))
            else:
                desk.screen.result(result)
                desk.screen.say(told(result, kind))
    failures.end()


@dataclass
class _Failures:
    """What went wrong with single requests, told at once; it keeps the others from nothing."""

    screen: Screen
    alone: bool
    """Whether there is one request only: then its failure is that of the command."""
    ends: list[DeskError] = field(default_factory=list)

    def add(self, request: str, end: DeskError) -> None:
        if self.alone:
            raise end
        self.screen.failure(end.failure.model_copy(update={"message": f"{request}: {end.failure.message}"}))
        self.ends.append(end)

    def end(self) -> None:
        if self.ends:
            raise typer.Exit(self.ends[0].status)


def _looked_at_all(desk: Desk, named: Sequence[str], revision: str | None, failures: _Failures) -> list[CaseResult]:
    """Those of the cases that can be decided on, shown; when a server is away, nothing is decided at all."""
    cases = []
    for request in named:
        try:
            cases.append(_looked_at(desk, request, revision))
        except (RefusedError, CommandRefusedError, DeskError) as error:
            end = ending(error)
            if end.status is not Exit.REFUSED:
                raise
            failures.add(request, end)
    return cases


def _looked_at(desk: Desk, request: str, revision: str | None) -> CaseResult:
    """The case, shown as that which is about to be signed for."""
    case, digest = _shown(desk, request, desk.aside)
    the_revision(revision, digest)
    return case


def _question(kind: DecisionKind, count: int) -> str:
    return f"Sign that you {kind} this?" if count == 1 else f"Sign that you {kind} these {count} requests?"


def _answers(
    desk: Desk, cases: Sequence[CaseResult], kind: DecisionKind, note: str
) -> Mapping[RequestId, DecisionResult | ClientError]:
    """What became of the decision on each; a single one is signed as such."""
    if not cases:
        return {}
    if len(cases) > 1:
        return desk.ask(lambda client: client.decide(cases, kind, note), signing=True)
    (case,) = cases
    if kind is DecisionKind.APPROVE:
        result = desk.ask(lambda client: client.approve(case, note), signing=True)
    else:
        result = desk.ask(lambda client: client.deny(case, note), signing=True)
    return {result.request_id: result}


def the_revision(wanted: str | None, digest: Digest) -> None:
    """See that the revision in force is the one that was wanted. Raises `DeskError`."""
    if wanted is not None and wanted != digest:
        message = "The revision in force is another one than --revision says: look at the request again."
        raise DeskError(Exit.REFUSED, Failure(code="revision-differs", message=message))


def confirmed(question: str) -> bool:
    """The person's answer, asked for on standard error."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        raise usage("nothing was signed: there was no answer to the question; --yes does without it") from None
