"""What both ways of asking for a certificate may be given on the command line, and how they are sent."""

from datetime import datetime
from typing import Annotated

import typer
from pydantic import ValidationError

from services.desk.exits import DeskError, Exit, Failure
from services.desk.files import STANDARD, write_output
from services.desk.frame import Desk, request_id
from services.desk.views import show_status
from shared.client.errors import NoAnswerError
from shared.contracts.content import RequestContent
from shared.contracts.replies import SubmitResult
from shared.vocabulary.model import mistakes
from shared.vocabulary.states import FINAL_STATES, State

SETTLED = frozenset({State.ISSUED, State.QUARANTINED, *FINAL_STATES})

HashOption = Annotated[str | None, typer.Option(metavar="HASH", help="With which the CA signs; see `ra options`.")]
ExpiryOption = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The last day, UTC; else the latest allowed."),
]
NotesOption = Annotated[str, typer.Option(help="What the approvers should know.")]
EmailOption = Annotated[list[str] | None, typer.Option(help="Who is to be told by mail; may be repeated.")]
BehalfOption = Annotated[str | None, typer.Option(metavar="IDENTITY", help="For whom you ask.")]
RequestIdOption = Annotated[
    str | None,
    typer.Option("--request-id", metavar="UUID", parser=request_id, help="To repeat a submission that got no answer."),
]
PrintOption = Annotated[
    bool, typer.Option("--print", help="Print the request as JSON and send nothing; see `ra policy explain`.")
]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait until it is issued, or will not be.")]


def content_of(**fields: object) -> RequestContent:
    """What is asked for.

    Raises:
        DeskError: it can't be sent.
    """
    try:
        return RequestContent.model_validate(fields)
    except ValidationError as error:
        findings = tuple(mistakes(error, code="command.invalid"))
        raise DeskError(Exit.USAGE, Failure(code="usage", message="This can't be sent.", findings=findings)) from None


def sent(desk: Desk, content: RequestContent, *, only_print: bool, wait_seconds: float | None) -> None:
    """Send it, or print it; and wait until it is at its end, if that is wanted."""
    if only_print:
        write_output(STANDARD, content.canonical() + b"\n")
        return
    result = _submit(desk, content)
    if wait_seconds is not None:
        desk.screen.say(f"Request {result.request_id} is submitted; waiting for it.")
        _wait(desk, result.request_id, wait_seconds)
        return
    desk.screen.result(result)
    desk.screen.story(_next_steps(result, content))


def _submit(desk: Desk, content: RequestContent) -> SubmitResult:
    signed = desk.signer is not None
    try:
        return desk.ask(lambda client: client.submit(content, sign=signed), signing=True)
    except NoAnswerError as error:
        message = f"{error} Repeat it with --request-id {content.request_id}."
        raise DeskError(Exit.UNAVAILABLE, Failure(code="no-answer", message=message)) from None


def _wait(desk: Desk, request: str, limit: float) -> None:
    status = desk.ask(lambda client: client.wait_for_state(request, SETTLED, limit))
    desk.screen.result(status)
    show_status(desk.screen, status)
    if status.request.state is not State.ISSUED:
        raise typer.Exit(Exit.REFUSED)


def _next_steps(result: SubmitResult, content: RequestContent) -> list[str]:
    request, form = result.request_id, "" if content.generated is None else " --format der-pkcs12"
    return [
        f"Request {request} is {result.state}.",
        "What happens next: its approvers decide, then it is ordered from the CA.",
        f"  ra status {request} --wait issued",
        f"  ra download {request}{form}",
    ]
