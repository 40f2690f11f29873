"""`ra submit`: ask for a certificate."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from services.desk.choices import Choices, completed, name_of
from services.desk.commands.picks import (
    ApprovalGroupPick,
    DnProfilePick,
    ExtensionProfilePick,
    SigningCertificatePick,
)
from services.desk.entering import entered
from services.desk.exits import DeskError, Exit, Failure
from services.desk.files import STANDARD, read_input, write_output
from services.desk.frame import Desk, WaitLimitOption, command, request_id
from services.desk.views import show_status
from shared.client.errors import NoAnswerError
from shared.contracts.content import RequestContent
from shared.contracts.replies import SubmitResult
from shared.identifiers import new_request_id
from shared.vocabulary.model import mistakes
from shared.vocabulary.states import FINAL_STATES, State
from shared.x509.csr import MAX_CSR_TEXT, VerifiedCsr, parse_csr

SETTLED = frozenset({State.ISSUED, State.QUARANTINED, *FINAL_STATES})

app = typer.Typer(help="Ask for a certificate.", no_args_is_help=True)


@command(app, "csr")
def submit_csr(
    desk: Desk,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE|-", help="The CSR, PKCS#10 in PEM or DER.")],
    signing_certificate: SigningCertificatePick = None,
    approval_group: ApprovalGroupPick = None,
    extension_profile: ExtensionProfilePick = None,
    dn_profile: DnProfilePick = None,
    dn: Annotated[
        list[str] | None,
        typer.Option("--dn", metavar="TYPE=VALUE", help="An attribute of the subject, in place of the CSR's."),
    ] = None,
    san: Annotated[
        list[str] | None,
        typer.Option("--san", metavar="KIND:NAME", help="A name such as dns:www.example.com, in place of the CSR's."),
    ] = None,
    extension: Annotated[
        list[str] | None,
        typer.Option(
            "--extension",
            metavar="TYPE=VALUES",
            help="An extension: keyUsage=digitalSignature,keyAgreement, or OID=[critical,]DER in base64.",
        ),
    ] = None,
    signature_hash: Annotated[
        str | None, typer.Option(metavar="HASH", help="With which the CA signs; see `ra options`.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the request; its CN if not given.")] = None,
    expires_on: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The last day, UTC; else the latest allowed."),
    ] = None,
    notes: Annotated[str, typer.Option(help="What the approvers should know.")] = "",
    email: Annotated[list[str] | None, typer.Option(help="Who is to be told by mail; may be repeated.")] = None,
    on_behalf_of: Annotated[str | None, typer.Option(metavar="IDENTITY", help="For whom you ask.")] = None,
    request: Annotated[
        str | None,
        typer.Option(
            "--request-id", metavar="UUID", parser=request_id, help="To repeat a submission that got no answer."
        ),
    ] = None,
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the request as JSON and send nothing; see `ra policy explain`.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is issued, or will not be.")] = False,
    limit: WaitLimitOption = 600.0,
) -> None:
    """Submit a CSR. It is signed with the profile's key, if the profile has one.

    What may be entered beside it, `ra options` shows. Options that take a value of a list may be repeated.
    """
    values = entered(subject=dn or (), names=san or (), extensions=extension or ())
    csr = parse_csr(read_input(file, limit=MAX_CSR_TEXT))
    choices = Choices(signing_certificate, approval_group, extension_profile, dn_profile)
    if not choices.complete:
        choices = completed(choices, desk.ask(lambda client: client.options()))
    content = _content(
        csr,
        choices,
        request_id=request or new_request_id(),
        name=name or name_of(csr),
        entered=values,
        signature_hash=signature_hash,
        expires_on=expires_on and expires_on.date(),
        notes=notes,
        emails=tuple(email or ()),
        on_behalf_of=on_behalf_of,
    )
    if only_print:
        write_output(STANDARD, content.canonical() + b"\n")
        return
    result = _submit(desk, content)
    if wait:
        desk.screen.say(f"Request {result.request_id} is submitted; waiting for it.")
        _wait(desk, result.request_id, limit)
        return
    desk.screen.result(result)
    desk.screen.story(_next_steps(result))


def _content(csr: VerifiedCsr, choices: Choices, **others: object) -> RequestContent:
    try:
        return RequestContent.model_validate({"csr": csr.pem, **vars(choices), **others})
    except ValidationError as error:
        findings = tuple(mistakes(error, code="command.invalid"))
        raise DeskError(Exit.USAGE, Failure(code="usage", message="This can't be sent.", findings=findings)) from None


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


def _next_steps(result: SubmitResult) -> list[str]:
    request = result.request_id
    return [
        f"Request {request} is {result.state}.",
        "What happens next: its approvers decide, then it is ordered from the CA.",
        f"  ra status {request} --wait issued",
        f"  ra download {request}",
    ]
