"""`ra desk edit`: change what a request asks for, before others approve it."""

from typing import Annotated

import typer

from services.desk.case_view import show_case
from services.desk.commands.approvals import RevisionOption, YesOption, confirmed, the_revision
from services.desk.editing import Wanted, content_of, preview, told, wanted_basics
from services.desk.entering import either_kind, entered, kinds_of, names_entered
from services.desk.exits import usage
from services.desk.frame import Desk, RequestArgument, command
from shared.client.case import ShownCase
from shared.client.client import RaClient
from shared.contracts.replies import CaseResult

BASIC, PROFILE, EXTENSIONS, DN = "Basic information", "Extension profile", "Extensions", "DN"
CHANGES = ("what", "is", "shall be")


def _several(option: str, metavar: str, text: str, part: str) -> object:
    return typer.Option(option, metavar=metavar, help=f"{text}; may be repeated.", rich_help_panel=part)


def edit(
    desk: Desk,
    *,
    request: RequestArgument,
    name: Annotated[str | None, typer.Option(help="What the request is called.", rich_help_panel=BASIC)] = None,
    expires_on: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM-DD|latest", help="The last day, UTC.", rich_help_panel=BASIC),
    ] = None,
    notes: Annotated[str | None, typer.Option(help="What approvers should know.", rich_help_panel=BASIC)] = None,
    email: Annotated[
        list[str] | None, _several("--email", "ADDRESS", "Who is told by mail, in place of those now", BASIC)
    ] = None,
    no_emails: Annotated[
        bool, typer.Option("--no-emails", help="Nobody is told by mail.", rich_help_panel=BASIC)
    ] = False,
    extension_profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another extension profile.", rich_help_panel=PROFILE)
    ] = None,
    san: Annotated[
        list[str] | None, _several("--san", "KIND:NAME", "All alternative names, in place of those now", EXTENSIONS)
    ] = None,
    add_san: Annotated[list[str] | None, _several("--add-san", "KIND:NAME", "One name more", EXTENSIONS)] = None,
    drop_san: Annotated[list[str] | None, _several("--drop-san", "KIND:NAME", "One name less", EXTENSIONS)] = None,
    extension: Annotated[
        list[str] | None, _several("--extension", "TYPE=VALUES", "An extension, as for `ra submit csr`", EXTENSIONS)
    ] = None,
    without_extension: Annotated[
        list[str] | None, _several("--without-extension", "TYPE", "An extension to leave out", EXTENSIONS)
    ] = None,
    dn: Annotated[
        list[str] | None, _several("--dn", "TYPE=VALUE", "All values of an attribute, in place of those now", DN)
    ] = None,
    without_dn: Annotated[list[str] | None, _several("--without-dn", "TYPE", "An attribute to leave out", DN)] = None,
    as_asked: Annotated[
        list[str] | None,
        _several("--as-asked", "TYPE", "An attribute or extension of which the requester's word counts again", DN),
    ] = None,
    yes: YesOption = False,
    revision: RevisionOption = None,
) -> None:
    """Edit a pending request with your signature, after the change has been shown and confirmed.

    It is screened like a submission. Approvals given before are void, and you don't count as an approver any more,
    unless the group's rules say so. Whoever asked is told what you changed.
    """
    wanted = Wanted(
        basics=wanted_basics(
            name=name,
            expires_on=expires_on,
            notes=notes,
            emails=email,
            no_emails=no_emails,
            extension_profile=extension_profile,
        ),
        entered=entered(subject=dn or (), names=san or (), extensions=extension or ()),
        added=names_entered(add_san or (), "--add-san"),
        dropped=names_entered(drop_san or (), "--drop-san"),
        left_out=kinds_of(attributes=without_dn or (), extensions=without_extension or ()),
        as_asked=either_kind(as_asked or ()),
    )
    if wanted.is_nothing:
        raise usage("say what to change, with at least one option: see `ra desk edit --help`")
    desk.require_signer()

    async def look(client: RaClient) -> tuple[CaseResult, ShownCase]:
        case = await client.show_case(request)
        return case, client.read(case)

    case, shown = desk.ask(look)
    the_revision(revision, shown.digest)
    content = content_of(shown, wanted)
    show_case(desk.aside, case, shown)
    desk.aside.listing(CHANGES, preview(shown, content), empty="This changes nothing.")
    if not yes and not confirmed("Sign that it shall be so?"):
        desk.screen.say(f"Request {request} is left as it is.")
        return
    result = desk.ask(lambda client: client.edit(case, content), signing=True)
    desk.screen.result(result)
    desk.screen.story(told(result))


def register(app: typer.Typer) -> None:
    """Add the command to those of approvers."""
    command(app, "edit")(edit)
