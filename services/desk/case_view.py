"""What approvers are shown of a case, by every face of the desk in the same words: read from the signed bytes alone.

Values are fit for a terminal: what others wrote is written out by `safe`, `listed` and `paragraph`.
"""

from datetime import UTC, datetime

from services.desk.render import Rows, Screen, finding_line, listed, moment, paragraph, safe
from shared.client.case import EarlierDecision, ShownCase
from shared.contracts.replies import CaseResult
from shared.evidence.differences import Change
from shared.policy.model import Trust
from shared.x509.calendar import longest_public_validity
from shared.x509.encryption import Pkcs12Encryption
from shared.x509.keys import key_type
from shared.x509.names import SubjectAltNames


def show_case(screen: Screen, case: CaseResult, shown: ShownCase) -> None:
    """Exactly what a decision on this case is signed for, and what else an approver should know."""
    screen.sheet(case_title(shown), case_rows(case, shown))


def case_title(shown: ShownCase) -> str:
    """What the case is called."""
    return f"Request {shown.revision.request_id}"


def case_rows(case: CaseResult, shown: ShownCase) -> Rows:
    """All that is shown before a decision is signed."""
    return [
        *basic_rows(shown),
        *subject_rows(shown),
        *extension_rows(shown),
        *profile_rows(shown),
        *change_rows(shown),
        *approval_rows(case, shown),
        *bytes_rows(shown),
    ]


def longest_validity(trust: str, days: int) -> str:
    """What the policy's number of days comes to: for public trust the calendar of the day of issue has a say."""
    text = f"{days} days from the day of issue"
    if trust != Trust.PUBLIC:
        return text
    today = longest_public_validity(datetime.now(UTC).date())
    return f"{text}, at most {today} by the calendar of today" if today < days else text


def basic_rows(shown: ShownCase) -> Rows:
    """Who asks for what, until when."""
    revision = shown.revision
    longest = f"the longest allowed, {longest_validity(revision.policy.trust, revision.policy.max_validity_days)}"
    return [
        ("Name", safe(revision.name)),
        ("Requesters", listed(revision.requesters)),
        ("Key", _key(shown)),
        *_handed_over(shown),
        ("Valid until", str(revision.expires_on) if revision.expires_on else longest),
        ("Notes", paragraph(revision.notes) or "none"),
        ("Mail to", listed(revision.emails)),
        ("Findings", listed(finding_line(found) for found in revision.findings)),
    ]


def _key(shown: ShownCase) -> str:
    wanted = shown.revision.generated
    if wanted is not None:
        return f"{wanted.key_type}, to be made by the issuer once it is approved"
    return "" if shown.csr is None else f"{key_type(shown.csr.key)}, SPKI {shown.revision.public_key}"


def _handed_over(shown: ShownCase) -> Rows:
    """What becomes of a key pair that the issuer makes."""
    wanted, rules = shown.revision.generated, shown.revision.policy.generated
    if wanted is None or rules is None:
        return []
    weak = wanted.pkcs12 is Pkcs12Encryption.TRIPLE_DES
    ends = ["once it was downloaded"] if rules.erase_after_download else []
    ends += [f"{rules.erase_after_hours} hours after the issue"] if rules.erase_after_hours is not None else []
    kind = f"PKCS#12, {wanted.pkcs12}{' (WEAK, for old readers)' if weak else ''}, under the sealed password"
    return [("Handed over as", kind), ("Erased", " or ".join(ends))]


def subject_rows(shown: ShownCase) -> Rows:
    """The subject, and the profile that it follows."""
    return [
        ("Subject", listed(shown.revision.subject.attributes, nothing="empty")),
        ("DN profile", shown.revision.policy.dn_profile),
    ]


def extension_rows(shown: ShownCase) -> Rows:
    """The alternative names and every other extension, and the profile that they follow."""
    return [
        ("Names", _names(shown.revision.names)),
        ("Extensions", listed(shown.revision.extensions)),
        ("Extension profile", shown.revision.policy.extension_profile),
    ]


def profile_rows(shown: ShownCase) -> Rows:
    """Who issues which product, and who decides."""
    resolved = shown.revision.policy
    container = "" if resolved.container_id is None else f", container {resolved.container_id}"
    return [
        ("Signing certificate", resolved.signing_certificate),
        ("Product", safe(f"{resolved.product} ({resolved.trust}, {resolved.signature_hash})")),
        ("CA certificate", safe(f"{resolved.ca_cert_id}, organisation {resolved.organization_id}{container}")),
        ("Issuing CA", resolved.intermediate),
        ("Approval group", resolved.approval_group),
    ]


def approval_rows(case: CaseResult, shown: ShownCase) -> Rows:
    """Where the case stands, who decided what, and what keeps it from going on."""
    earlier = [_decision(decision) for decision in shown.decisions]
    if shown.doubtful:
        earlier.append(f"{shown.doubtful} more whose signatures do NOT hold")
    rows = [
        ("State", str(case.state)),
        ("Quorum", str(max(case.quorum, shown.revision.policy.quorum))),
        ("Decisions", listed(earlier)),
    ]
    if case.returned_because:
        rows.append(("Returned because", listed(finding_line(found) for found in case.returned_because)))
    if case.blocked_because:
        rows.append(("Can't be approved", listed(finding_line(found) for found in case.blocked_because)))
    if case.held_because:
        rows.append(("Waits, and goes on by itself", listed(finding_line(found) for found in case.held_because)))
    return rows


def change_rows(shown: ShownCase) -> Rows:
    """Who edited it, and what the revision says otherwise than the one before it."""
    rows: list[tuple[str, str]] = []
    if shown.edit is not None:
        edit, signed_at = shown.edit.edit, shown.edit.signed_at
        doubt = "signature NOT verified" if signed_at is None else f"verified, of {moment(signed_at)}"
        rows.append(("Last edited by", safe(f"{edit.editor} ({doubt})")))
        rows.append(("Edited so far by", listed(shown.revision.editors)))
    if shown.changes:
        rows.append((f"Changed since revision {shown.revision.number - 1}", "\n".join(map(change_text, shown.changes))))
    return rows


def change_text(change: Change) -> str:
    """A change in its own lines, what was below what it is about, what is below that."""
    what, before, after = change
    return "\n".join([safe(f"{what}:"), *_side("was", before), *_side("is", after)])


def _side(word: str, text: str) -> list[str]:
    return [f"  {word} {paragraph(line)}" for line in text.splitlines()] or [f"  {word} nothing"]


def bytes_rows(shown: ShownCase) -> Rows:
    """The bytes that are signed for, and who vouches for them."""
    signed = (
        "NOT VERIFIED: the profile names no anchor"
        if shown.signed_at is None
        else f"verified, of {moment(shown.signed_at)}"
    )
    return [
        ("Submission", shown.revision.submission),
        ("Intake's signature" if shown.revision.number == 1 else "Approval's signature", signed),
        ("Revision", f"{shown.revision.number}, {shown.digest}"),
    ]


def _names(names: SubjectAltNames) -> str:
    return listed(f"{kind} {value}" for kind, values in names for value in values)


def _decision(earlier: EarlierDecision) -> str:
    said = earlier.decision
    when = "signature not verified" if earlier.signed_at is None else moment(earlier.signed_at)
    stale = "" if earlier.applies else ", of ANOTHER revision"
    codes = ", ".join(found.code for found in earlier.not_counting)
    void = f", does NOT count: {codes}" if codes else ""
    note = f": {said.note}" if said.note else ""
    return f"{said.decision} by {said.approver} ({when}{stale}{void}){note}"
