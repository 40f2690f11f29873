"""`ra`: the program of requesters, approvers and operators, put together."""

import logging
import os
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from services.desk.commands import (
    approvals,
    audit,
    edit,
    keys,
    orders,
    policy,
    requests,
    revocations,
    sealed,
    signing_certificates,
    submit,
    summary,
    watch,
)
from services.desk.exits import EXIT_STATUS
from services.desk.frame import DEBUG_VARIABLE, Common, JsonOption, ProfileOption, TimeoutOption

app = typer.Typer(
    name="ra",
    help="Ask for certificates, decide on them, and check what was decided.",
    epilog=EXIT_STATUS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - Typer's callbacks get the value alone
    if wanted:
        typer.echo(f"ra {_version()}")
        raise typer.Exit


def _version() -> str:
    """The version that is installed, or that of the source folder this runs from."""
    try:
        return version("countersign")
    except PackageNotFoundError:
        project = Path(__file__).parents[2] / "pyproject.toml"
        return str(tomllib.loads(project.read_text())["project"]["version"])


@app.callback()
def common(
    ctx: typer.Context,
    *,
    profile: ProfileOption = None,
    machine: JsonOption = False,
    timeout: TimeoutOption = None,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Ask for certificates, decide on them, and check what was decided."""
    ctx.obj = Common(profile, machine, timeout)


app.add_typer(submit.app, name="submit")
requests.register(app)
revocations.register(app)
summary.register(approvals.app)
watch.register(approvals.app)
edit.register(approvals.app)
app.add_typer(approvals.app, name="desk")
app.add_typer(revocations.app, name="revocations")
app.add_typer(orders.app, name="orders")
app.add_typer(sealed.app, name="sealed")
app.add_typer(audit.app, name="audit")
app.add_typer(policy.app, name="policy")
app.add_typer(signing_certificates.app, name="signing-certificates")
app.add_typer(keys.app, name="keys")


def main() -> None:
    """Run `ra` on the command line it was called with."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not os.environ.get(DEBUG_VARIABLE):
        logging.disable()  # what libraries log, the commands say in words of their own
    app(prog_name="ra")


if __name__ == "__main__":
    main()
