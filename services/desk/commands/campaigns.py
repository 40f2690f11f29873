"""`ra revoke --campaign`: make a list, have two people sign it, send it, follow it, and report."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import typer
from pydantic import ValidationError

from services.desk.campaigns import (
    CampaignFile,
    CertificateReport,
    Counts,
    check_cap,
    check_file,
    check_found,
    finish,
    progress_line,
    query_of,
)
from services.desk.exits import Exit, usage
from services.desk.files import read_input, write_output
from services.desk.frame import Desk, certificate_name
from services.desk.render import as_json, finding_line, safe
from shared.client.client import RaClient
from shared.client.errors import NoAnswerError, NotConnectedError
from shared.clock import SystemClock
from shared.contracts.campaigns import Campaign, CampaignEntry, digest_of_part, parts_of
from shared.contracts.replies import CampaignResult, LeftOut, LiveCertificate, Revocation
from shared.errors import RefusedError
from shared.evidence.campaigns import CampaignSignature
from shared.evidence.jws import payload_of
from shared.identifiers import new_message_id
from shared.vocabulary.findings import finding
from shared.vocabulary.model import mistakes
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import CertificateState

MOST_BYTES = 64 * 1024 * 1024
NAMES_AT_ONCE = 200
LOOK_SECONDS = 5.0
LOOKS = 60
"""So many looks back the pace is measured."""


@dataclass(frozen=True)
class Wishes:
    """What the command line says of a campaign."""

    source: str
    reason: RevocationReason | None
    notes: str
    cap: int | None
    dry_run: bool
    output: Path | None
    sign: bool
    yes: bool
    watch: bool
    report: Path | None


def carry_out(desk: Desk, wishes: Wishes) -> None:
    """Make, sign or send a campaign, as the options say."""
    making = wishes.reason, wishes.notes or None, wishes.cap, wishes.output
    if wishes.dry_run:
        if wishes.sign or wishes.watch or wishes.report:
            raise usage("--dry-run makes a list: --sign, --watch and --report are for what was made")
        _make(desk, wishes)
        return
    if any(each is not None for each in making):
        raise usage("a list is made with --dry-run; --reason, --notes, --cap and -o are for that")
    if wishes.sign and (wishes.watch or wishes.report):
        raise usage("--sign sends nothing: there is nothing to watch or to report yet")
    file = CampaignFile.read(read_input(Path(wishes.source), limit=MOST_BYTES), code="campaign.file-invalid")
    check_file(file)
    if wishes.sign:
        _sign(desk, file, wishes)
    else:
        _send(desk, file, wishes)


# --- making -----------------------------------------------------------------------------------------------------------


def _make(desk: Desk, wishes: Wishes) -> None:
    reason, cap = wishes.reason, wishes.cap
    if reason is None or cap is None:
        raise usage("a campaign needs --reason and --cap")
    if wishes.output is not None and wishes.output.exists():
        raise usage(f"{wishes.output} exists already and is left as it is")
    query = query_of(wishes.source)
    names = _names(Path(wishes.source)) if query is None else []
    found = desk.ask(lambda client: _named(client, names) if query is None else _pages(client, query))
    known = {name for each in found for name in (each.request_id, each.serial_number)}
    counts = Counts.of(found, [name for name in names if name not in known])
    desk.screen.result(counts)
    desk.screen.sheet("Campaign", counts.rows())
    for name in counts.missing:
        desk.screen.say(f"{name}: no good certificate that you may have revoked; it is not on the list.")
    if not found:
        raise RefusedError(finding("campaign.empty", "there is no such certificate that you may have revoked"))
    check_cap(len(found), cap)
    if wishes.output is None:
        return
    file = _file(found, reason, wishes.notes, cap)
    write_output(wishes.output, file.canonical() + b"\n")
    desk.screen.say(f"Nothing is revoked yet. Two people sign it: ra revoke --campaign {wishes.output} --sign")


def _names(path: Path) -> list[str]:
    try:
        text = read_input(path, limit=MOST_BYTES).decode()
        typed = [line.split("#", 1)[0].strip() for line in text.splitlines()]
        return list(dict.fromkeys(certificate_name(name) for name in typed if name))
    except UnicodeDecodeError:
        raise usage(f"{path} is no text") from None
    except typer.BadParameter as error:
        raise usage(f"{path}: {error.message}") from None


async def _named(client: RaClient, names: Sequence[str]) -> list[LiveCertificate]:
    """Those of the names that are good, each once, by request id."""
    found: dict[str, LiveCertificate] = {}
    for field, chosen in (
        ("request_ids", [name for name in names if "-" in name]),
        ("serial_numbers", [name for name in names if "-" not in name]),
    ):
        for begin in range(0, len(chosen), NAMES_AT_ONCE):
            page = await _pages(client, {field: tuple(chosen[begin : begin + NAMES_AT_ONCE])})
            found |= {each.request_id: each for each in page}
    return [found[name] for name in sorted(found)]


async def _pages(client: RaClient, query: dict[str, object]) -> list[LiveCertificate]:
    found: list[LiveCertificate] = []
    after = None
    while True:
        page = await client.list_certificates(**query, after=after)
        found += page.certificates
        after = page.next
        if after is None:
            return found


def _file(found: Sequence[LiveCertificate], reason: RevocationReason, notes: str, cap: int) -> CampaignFile:
    entries = tuple(CampaignEntry(request_id=each.request_id, certificate=each.certificate) for each in found)
    try:
        campaign = Campaign(
            campaign_id=new_message_id(),
            reason=reason,
            notes=notes,
            cap=cap,
            count=len(entries),
            groups=tuple(sorted({each.approval_group for each in found})),
            parts=tuple(map(digest_of_part, parts_of(entries))),
        )
        return CampaignFile(campaign=campaign, certificates=entries)
    except ValidationError as error:
        raise RefusedError.of(mistakes(error, code="command.invalid")) from None


# --- signing ----------------------------------------------------------------------------------------------------------


def _signers(file: CampaignFile) -> list[str]:
    """Who is said to have signed; whether they did, the revoker sees."""
    return [
        CampaignSignature.read(payload_of(each.jws), code="campaign.file-invalid").signer for each in file.signatures
    ]


def _sign(desk: Desk, file: CampaignFile, wishes: Wishes) -> None:
    desk.require_signer()
    identity = desk.profile.identity
    others = [each for each, name in zip(file.signatures, _signers(file), strict=True) if name != identity]
    if len(others) > 1:
        raise usage("two others have signed this already")
    found = desk.ask(lambda client: _named(client, [entry.request_id for entry in file.certificates]))
    check_found(file, found)
    campaign, signed = file.campaign, ", ".join(name for name in _signers(file) if name != identity)
    rows = [
        ("Campaign", campaign.digest),
        ("Reason", f"{campaign.reason}: {campaign.reason.meaning}"),
        ("Notes", safe(campaign.notes) or "none"),
        ("Cap", str(campaign.cap)),
        *Counts.of(found).rows(),
        ("Signed by", safe(signed) or "nobody yet"),
    ]
    desk.aside.sheet("To be revoked, for good", rows)
    if not wishes.yes and not typer.confirm(f"Have these {len(found)} certificates revoked?", err=True):
        raise typer.Abort

    async def sign(client: RaClient) -> CampaignFile:
        return file.model_copy(update={"signatures": (*others, client.sign_campaign(campaign))})

    after = desk.ask(sign, signing=True)
    write_output(Path(wishes.source), after.canonical() + b"\n", force=True)
    desk.screen.say(f"{wishes.source} is signed by {identity}. {_next(after, wishes.source)}")


def _next(file: CampaignFile, source: str) -> str:
    if len(file.signatures) == 1:
        return "Somebody else has to sign it, too."
    return f"Begin with: ra revoke --campaign {source} --watch"


# --- sending and following --------------------------------------------------------------------------------------------


def _send(desk: Desk, file: CampaignFile, wishes: Wishes) -> None:
    if len(file.signatures) != 2:  # noqa: PLR2004 - two people
        raise usage(f"two people have to sign this first: ra revoke --campaign {wishes.source} --sign")
    if wishes.report is not None and wishes.report.exists():
        raise usage(f"{wishes.report} exists already and is left as it is")

    async def run(client: RaClient) -> tuple[list[LeftOut], CampaignResult]:
        left_out = await _parts(desk, client, file)
        seen = await _follow(desk, client, file) if wishes.watch else await client.show_campaign(file.campaign.digest)
        if wishes.report is not None:
            lines = await _report(client, file, left_out)
            write_output(wishes.report, "".join(f"{as_json(line)}\n" for line in lines).encode())
        return left_out, seen

    left_out, seen = desk.ask(run)
    if not wishes.watch:
        desk.screen.result(seen)
        desk.screen.say(progress_line(seen, finish((seen.started_at, 0), _look(seen), seen.requested + seen.revoking)))
        desk.screen.say("Sent again, nothing happens twice; --watch follows it, --report FILE writes each result.")
    if left_out or seen.failed:
        raise typer.Exit(Exit.REFUSED)


async def _parts(desk: Desk, client: RaClient, file: CampaignFile) -> list[LeftOut]:
    left_out: list[LeftOut] = []
    parts = parts_of(file.certificates)
    for number, part in enumerate(parts):
        answer = await client.revoke_part(file.campaign, file.signatures, number, part)
        left_out += answer.left_out
        desk.screen.say(f"Part {number + 1} of {len(parts)}: {answer.accepted} of {len(part)} are accepted.")
        for each in answer.left_out:
            for found in each.findings:
                desk.screen.say(f"{each.request_id} is left out: {finding_line(found)}")
    return left_out


async def _follow(desk: Desk, client: RaClient, file: CampaignFile) -> CampaignResult:
    """Show how far it has come until nothing is open; a broker or revoker that is away is waited for."""
    samples: deque[tuple[datetime, int]] = deque(maxlen=LOOKS)
    while True:
        with contextlib.suppress(NoAnswerError, NotConnectedError):
            seen = await client.show_campaign(file.campaign.digest)
            still = seen.requested + seen.revoking
            samples.append(_look(seen))
            first = samples[0] if len(samples) > 1 else (seen.started_at, 0)
            desk.screen.result(seen)
            desk.screen.say(progress_line(seen, finish(first, samples[-1], still)))
            if not still:
                return seen
        await asyncio.sleep(LOOK_SECONDS)


def _look(seen: CampaignResult) -> tuple[datetime, int]:
    return SystemClock().now(), seen.revoked + seen.failed


async def _report(client: RaClient, file: CampaignFile, left_out: Sequence[LeftOut]) -> list[CertificateReport]:
    """What became of each certificate of the list, as the revoker has it."""
    known: dict[str, Revocation] = {}
    after, more = None, True
    while more:
        page = await client.list_revocations(
            states=tuple(CertificateState), campaign=file.campaign.digest, after=after, limit=200
        )
        known |= {each.request_id: each for each in page.revocations}
        more = page.more and bool(page.revocations)
        after = page.revocations[-1].request_id if more else None
    reasons = {each.request_id: each.findings for each in left_out}
    lines = []
    for entry in file.certificates:
        line = CertificateReport(
            request_id=entry.request_id,
            certificate=entry.certificate,
            result="left-out",
            findings=reasons.get(entry.request_id, ()),
        )
        now = known.get(entry.request_id)
        if now is not None:
            result = "failed" if now.state is CertificateState.LIVE else str(now.state)
            line = line.model_copy(update={"result": result, "ended_at": now.ended_at, "findings": now.findings})
        lines.append(line)
    return lines
