"""`ra desk` and `ra desk open`: the full-screen desk."""

import asyncio
import sys

import typer

from services.desk.exits import Exit, usage
from services.desk.frame import Common, Desk, JsonOption, ProfileOption, TimeoutOption, command
from services.desk.passphrase import given_passphrase


def register(app: typer.Typer) -> None:
    """Add `open`, and make it what the group does when nothing else is asked of it."""
    command(app, "open")(open_desk)

    @app.callback(invoke_without_command=True)
    def desk(
        ctx: typer.Context,
        *,
        profile: ProfileOption = None,
        machine: JsonOption = False,
        timeout: TimeoutOption = None,
    ) -> None:
        before = ctx.obj if isinstance(ctx.obj, Common) else Common()
        ctx.obj = Common(profile, machine, timeout).over(before)
        if ctx.invoked_subcommand is not None:
            return
        if ctx.obj.machine or not _is_terminal():
            typer.echo(ctx.get_help())
            raise typer.Exit(Exit.USAGE)
        opened = Desk(ctx.obj)
        with opened.ends_well():
            open_desk(opened)


def open_desk(desk: Desk) -> None:
    """Open the full-screen desk: the requests that wait, all about each, and the keys to decide."""
    if desk.machine or not _is_terminal():
        raise usage("the full-screen desk needs a terminal; `ra desk list`, `show`, `approve` and `deny` do not")
    # The rest of `ra` starts faster without Textual, and works where it is not installed.
    from services.desk.tui.app import DeskApp  # noqa: PLC0415
    from services.desk.tui.key import HeldKey  # noqa: PLC0415

    key = HeldKey(None if desk.profile.signing is None else desk.profile.signing.key_file, given_passphrase)
    client = desk.client(key)
    app = DeskApp(client, key)

    async def run() -> None:
        try:
            await app.run_async()
        finally:
            await client.close()

    asyncio.run(run())
    if app.mistake is not None:
        raise app.mistake


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
