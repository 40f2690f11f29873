"""`ra audit`: take a request's evidence along, and check it offline."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from services.desk.audit import NOT_CHECKED, Report, Standing, check_consistency, verify_against
from services.desk.exits import Exit, usage
from services.desk.files import STANDARD, read_input, write_output
from services.desk.frame import Desk, RequestArgument, command
from shared.audit_log.verification import verify_logs
from shared.client.profile import read_anchor
from shared.clock import SystemClock
from shared.evidence.anchor import Anchor
from shared.evidence.file import read_evidence
from shared.policy.policy import read_policy

MAX_EVIDENCE_BYTES = 32 * 1024 * 1024

app = typer.Typer(help="Take a request's evidence along, and check it offline.", no_args_is_help=True)

logs = typer.Typer(help="Check the duties' audit logs, offline.", no_args_is_help=True)
app.add_typer(logs, name="log")

OutputOption = Annotated[
    Path, typer.Option("-o", "--output", metavar="FILE|-", help="Where to write it, - for standard output.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace a file that is there already.")]


@command(app, "export")
def export(desk: Desk, *, request: RequestArgument, output: OutputOption, force: ForceOption = False) -> None:
    """Write the whole signed chain of a request to a file."""
    result = desk.ask(lambda client: client.export_evidence(request))
    if not (desk.machine and output == STANDARD):
        write_output(output, result.evidence.encode(), force=force)
    if output != STANDARD:
        desk.screen.say(f"{output} is written. Check it: ra audit verify {output} --anchor ANCHOR")
    desk.screen.result(result)


@command(app, "verify")
def verify(
    desk: Desk,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE|-", help="As `ra audit export` wrote it.")],
    anchor: Annotated[
        Path | None, typer.Option("--anchor", metavar="FILE", help="Whom to trust, as `ra audit anchor` wrote it.")
    ] = None,
) -> None:
    """Check an evidence file. Offline: no broker and no profile are needed.

    Status 0 only if everything holds against the anchor; 4 if not. Without an anchor, 3 if nothing contradicts itself.
    """
    evidence = read_evidence(read_input(file, limit=MAX_EVIDENCE_BYTES))
    if anchor is None:
        report = check_consistency(evidence)
    else:
        report = verify_against(evidence, read_anchor(anchor), now=SystemClock().now())
    desk.screen.result(report)
    _tell(desk, report)
    if report.standing is Standing.SELF_CONSISTENT:
        raise typer.Exit(Exit.SELF_CONSISTENT)


@command(logs, "verify")
def verify_log(
    desk: Desk,
    *,
    files: Annotated[list[Path], typer.Argument(metavar="FILE|FOLDER...", help="The logs of all duties' processes.")],
    anchor: Annotated[
        Path, typer.Option("--anchor", metavar="FILE", help="Whom to trust, as `ra audit anchor` wrote it.")
    ],
) -> None:
    """Check audit logs, each line by line, and each against what the other duties witnessed of it. Offline.

    Status 0 only if nothing was changed, moved, taken out, cut off or told twice over; 4 if something was. What was
    written after the last line that another duty has witnessed could have been cut off unseen: it is named.
    """
    trusted = read_anchor(anchor)
    with contextlib.ExitStack() as opened:
        read = {str(path): opened.enter_context(path.open("rb")) for path in log_files(files)}
        report = verify_logs(read, trusted.duties, now=SystemClock().now())
    desk.screen.result(report)
    desk.screen.listing(
        ("log", "duty", "lines", "from", "to", "witnessed up to", "by"),
        [
            (log.log, log.duty, str(log.entries), str(log.first), str(log.last), str(log.witnessed), ", ".join(log.by))
            for log in report.logs
        ],
        empty="There is no line in them.",
    )
    if report.findings:
        desk.screen.findings(report.findings)
        raise typer.Exit(Exit.REFUSED)
    desk.screen.say("VERIFIED: nothing was changed, taken out, cut off or told twice, as far as others witnessed it.")


@command(app, "anchor")
def anchor(
    desk: Desk,
    *,
    policy: Annotated[Path, typer.Option("--policy", metavar="FILE", help="The policy file.")],
    output: OutputOption,
    force: ForceOption = False,
) -> None:
    """Write whom a policy lets a verifier trust. Offline."""
    made = Anchor.of(read_policy(policy))
    if not (desk.machine and output == STANDARD):
        write_output(output, made.canonical(), force=force)
    if output != STANDARD:
        desk.screen.say(f"{output} is written.")
    desk.screen.result(made)


def log_files(given: Sequence[Path]) -> list[Path]:
    """The files that are meant: of a folder all its logs.

    Raises:
        DeskError: a folder has none.
    """
    files = []
    for path in given:
        found = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not found:
            raise usage(f"{path}: there is no audit log (*.jsonl) in this folder")
        files += found
    return files


def _tell(desk: Desk, report: Report) -> None:
    desk.screen.say(f"Request {report.request_id}")
    desk.screen.story(f"  {step}" for step in report.steps)
    if report.standing is Standing.VERIFIED:
        desk.screen.say("VERIFIED: everything holds against the anchor.")
    else:
        desk.screen.say("SELF-CONSISTENT, NOT TRUSTED: form, digests and links between the steps fit together.")
        desk.screen.say(NOT_CHECKED)
