"""`ra submit`: ask for a certificate."""

from pathlib import Path
from typing import Annotated

import typer

from services.desk.choices import Choices, completed, name_of
from services.desk.commands.asking import (
    BehalfOption,
    EmailOption,
    ExpiryOption,
    HashOption,
    NotesOption,
    PrintOption,
    RequestIdOption,
    WaitOption,
    content_of,
    sent,
)
from services.desk.commands.generated import submit_generated
from services.desk.commands.picks import (
    ApprovalGroupPick,
    DnProfilePick,
    ExtensionProfilePick,
    SigningCertificatePick,
)
from services.desk.entering import entered
from services.desk.files import read_input
from services.desk.frame import Desk, WaitLimitOption, command
from shared.identifiers import new_request_id
from shared.x509.csr import MAX_CSR_TEXT, parse_csr

app = typer.Typer(help="Ask for a certificate.", no_args_is_help=True)
command(app, "generated")(submit_generated)


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
    signature_hash: HashOption = None,
    name: Annotated[str | None, typer.Option(help="What to call the request; its CN if not given.")] = None,
    expires_on: ExpiryOption = None,
    notes: NotesOption = "",
    email: EmailOption = None,
    on_behalf_of: BehalfOption = None,
    request: RequestIdOption = None,
    only_print: PrintOption = False,
    wait: WaitOption = False,
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
    content = content_of(
        **vars(choices),
        csr=csr.pem,
        request_id=request or new_request_id(),
        name=name or name_of(csr),
        entered=values,
        signature_hash=signature_hash,
        expires_on=expires_on and expires_on.date(),
        notes=notes,
        emails=tuple(email or ()),
        on_behalf_of=on_behalf_of,
    )
    sent(desk, content, only_print=only_print, wait_seconds=limit if wait else None)
