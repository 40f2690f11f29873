"""The issuer's decisions: pure, no await, no clock, no I/O."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from services.issuer.model import Order
from services.issuer.ports import LEFT_THERE, OrderRequest, Sought
from shared.contracts.events import Evidence, RequestApproved
from shared.contracts.statement import JwsStatement
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.decisions import claimed_decision
from shared.evidence.file import check_issued, last_day_of
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SKEW, Typ, payload_of, verify
from shared.evidence.steps import DecisionKind, Intent, Issuance, Revision
from shared.evidence.verification import (
    VerifiedApproval,
    VerifiedDecision,
    check_decider,
    counting_people,
    judged_by,
    read_issuance,
    verify_approval,
    verify_decision,
)
from shared.identifiers import begun_ms, following_id
from shared.messaging.schedule import milliseconds
from shared.policy.compatibility import check_orderable
from shared.policy.fitness import purposes_of
from shared.policy.resolution import resolve_again
from shared.screening import check_sender
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding, Severity, finding, refuses
from shared.vocabulary.formats import DownloadFormat
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import Digest, IdentityName, MessageId, OrderId, RequestId
from shared.vocabulary.orders import OrderState
from shared.vocabulary.permissions import Permission
from shared.x509.certificate import parse_certificate, verify_chain

MOST_FORGOTTEN = timedelta(days=60)
"""How far back an order is looked for by its name, whatever time a client has put into the request's id."""


def verify_for_order(evidence: Evidence, in_force: PolicyInForce, *, now: datetime) -> VerifiedApproval:
    """The approval, if it holds now under the issuer's own policy and the request still fits it.

    Raises:
        RefusedError: with every reason why nothing may be ordered.
    """
    approval = verify_approval(evidence, in_force.anchor, now=now)
    revision = approval.revision.revision
    current = resolve_again(in_force.policy, revision.policy)
    if current != revision.policy:
        raise RefusedError(
            finding(
                "evidence.policy-differs",
                "the policy that applies to this request has changed since it was signed",
            )
        )
    findings = [
        *check_sender(approval.submission.content, revision.requesters[0], in_force.policy),
        *judged_by(current, revision, today=now.date()),
        *check_orderable(revision.names),
    ]
    if refuses(findings):
        raise RefusedError.of(findings)
    return approval


def verify_entry(
    request_id: RequestId, evidence: Evidence, in_force: PolicyInForce, *, now: datetime
) -> VerifiedApproval:
    """The approval of a ledger's entry, if it holds now and is really of this request.

    Raises:
        RefusedError: with every reason why nothing may be ordered.
    """
    approval = verify_for_order(evidence, in_force, now=now)
    if approval.revision.revision.request_id != request_id:
        raise RefusedError(finding("evidence.request-differs", "the evidence is about another request"))
    return approval


def approval_in(event: RequestApproved, in_force: PolicyInForce, *, sequence: int, now: datetime) -> VerifiedApproval:
    """The approval that an event carries, if it holds.

    Raises:
        RefusedError: with every reason why nothing may be ordered.
    """
    approval = verify_entry(event.request_id, event.evidence, in_force, now=now)
    if approval.verdict.sequence != sequence:
        raise RefusedError(finding("evidence.sequence-differs", "the verdict belongs to another event", value=sequence))
    return approval


def standing_denial(
    denials: Sequence[JwsStatement], approval: VerifiedApproval, anchor: Anchor, *, now: datetime
) -> JwsStatement | None:
    """A witnessed denial of this revision, or of one that it follows from, that the approval leaves out.

    It counts whatever date it, or the verdict, bears, and from a person who has approved the same revision, too. Only
    who denied a former revision and has approved this one since wants it as it is by now.
    """
    for statement in denials:
        denial = _denial(statement, approval, anchor, now=now)
        if denial is None or list(check_decider(denial.decision, approval.revision, anchor)):
            continue
        if not _is_answered(denial, approval, anchor):
            return statement
    return None


def _is_answered(denial: VerifiedDecision, approval: VerifiedApproval, anchor: Anchor) -> bool:
    """Whether the same person has approved a later revision than the one that they denied, and later."""
    if denial.decision.revision == approval.revision.digest:
        return False
    since = [each for each in approval.decisions if each.signed_at > denial.signed_at]
    return anchor.person_of(denial.decision.approver) in counting_people(since, anchor)


def _denial(
    statement: JwsStatement, approval: VerifiedApproval, anchor: Anchor, *, now: datetime
) -> VerifiedDecision | None:
    about = approval.revision.revision.request_id
    try:
        decision = verify_decision(statement, anchor, about=about, now=now)
    except RefusedError:
        return None
    return decision if decision.decision.decision is DecisionKind.DENY else None


def check_join(
    known: Order, approval: VerifiedApproval, anchor: Anchor, *, now: datetime
) -> tuple[tuple[Finding, ...], JwsStatement | None]:
    """What the ledger has against an approval that holds by itself: findings, and the denial if it is one."""
    denial = standing_denial(known.denials, approval, anchor, now=now)
    if denial is not None:
        return (denial_omitted(),), denial
    if approval.verdict_digest in known.voided:
        return (finding("evidence.verdict-returned", "this verdict was given back to approval before"),), None
    return (), None


def with_denial(order: Order, statement: JwsStatement) -> Order:
    """The entry with this denial, which takes the place of an earlier one by the same approver."""
    approver = _approver(statement, order)
    others = (known for known in order.denials if _approver(known, order) != approver)
    return order.model_copy(update={"denials": (*others, statement)})


def _approver(statement: JwsStatement, order: Order) -> IdentityName:
    decision, _ = claimed_decision(statement.jws, order.id)
    return decision.approver


def denial_omitted() -> Finding:
    """The finding against an approval that leaves a denial out."""
    text = "an approver denied this request, and the approval leaves that out"
    return finding("evidence.denial-omitted", text)


def given_back(order: Order, verdict: Digest | None) -> Order:
    """The entry after an approval was given back: its verdict never serves again."""
    voided = order.voided if verdict is None else tuple(dict.fromkeys((*order.voided, verdict)))
    return order.model_copy(update={"state": OrderState.RETURNED, "voided": voided, "due": None, "due_then": None})


def check_witnessed(
    statement: JwsStatement, *, sender: IdentityName, request_id: str, anchor: Anchor, now: datetime
) -> None:
    """Check a denial on its way to approval.

    Raises:
        RefusedError: it is not the sender's own signed denial of this request, or the sender decides for no group.
    """
    decision = verify_decision(statement, anchor, about=request_id, now=now).decision
    identity = anchor.identities.get(sender)
    if decision.approver != sender or decision.decision is not DecisionKind.DENY or decision.request_id != request_id:
        raise RefusedError(finding("decision.foreign", "this is not the sender's own denial of this request"))
    if identity is None or not identity.decides:
        raise RefusedError(finding("decision.not-an-approver", "decides for no group", value=sender))


def check_witness_of(known: Order, sender: IdentityName, anchor: Anchor) -> None:
    """Check that whoever denies a request that is in the ledger with its group decides for that group.

    Raises:
        RefusedError: `decision.not-an-approver`.
    """
    group, identity = known.approval_group, anchor.identities.get(sender)
    if group is not None and (identity is None or group not in identity.decides):
        raise RefusedError(finding("decision.not-an-approver", f"decides not for {group}", value=sender))


def accepted_order(
    known: Order | None,
    event: RequestApproved,
    approval: VerifiedApproval,
    *,
    sequence: int,
    policy_serial: int,
    now_ms: int,
) -> Order:
    """The entry of an approval that holds under the policy of this serial, ready to be ordered."""
    revision = approval.revision.revision
    entry = known or Order(id=revision.request_id, state=OrderState.ACCEPTED)
    return entry.model_copy(
        update={
            "state": OrderState.ACCEPTED,
            "sequence": sequence,
            "policy_serial": policy_serial,
            "approval_group": revision.policy.approval_group,
            "requesters": revision.requesters,
            "evidence": event.evidence,
            "revision": approval.revision.digest,
            "verdict": approval.verdict_digest,
            "origin_ms": min(begun_ms(revision.request_id), milliseconds(approval.verdict_signed_at.timestamp())),
            "accepted_at_ms": now_ms,
            "attempt": entry.attempt if entry.revision == approval.revision.digest else 0,
            "findings": (),
            "waits": 0,
            "due": now_ms,
            "due_then": now_ms,
        }
    )


def alternative_order_id(request_id: RequestId, revision: Digest, attempt: int) -> MessageId:
    """The id under which the CA can be asked for this attempt: derived from request, revision and attempt."""
    return following_id(f"{request_id}/{revision}", f"order/{attempt}")


def id_of_attempt(order: Order, attempt: int) -> MessageId:
    """The alternative order id of this attempt to order what the entry holds."""
    if order.revision is None:
        raise ValueError("an accepted entry has its revision")
    return alternative_order_id(order.id, order.revision, attempt)


def revisions_of(order: Order) -> tuple[Digest, ...]:
    """The revisions of the request, the one to be ordered first: there may be an order of a former one."""
    revisions = () if order.evidence is None else order.evidence.revisions
    return tuple(dict.fromkeys(digest_of(payload_of(statement.jws)) for statement in reversed(revisions)))


def sought(order: Order) -> Sought:
    """By what the CA may know this entry's order; read from the ledger, and not verified: it is only asked with."""
    if order.evidence is None:
        raise ValueError("an accepted entry has its evidence")
    revision = Revision.read(payload_of(order.evidence.revisions[-1].jws), code="evidence.revision-invalid")
    return Sought(
        alternative_order_id=order.alternative_order_id or id_of_attempt(order, 1),
        csr=revision.csr or order.csr,
        common_name=common_name_of(revision),
        since=max(_day(order.origin_ms), _day(order.accepted_at_ms) - MOST_FORGOTTEN),
    )


def _day(ms: int) -> date:
    return datetime.fromtimestamp(ms / 1000, UTC).date()


def common_name_of(revision: Revision) -> str:
    """The name that an order is known by at the CA."""
    return revision.subject.common_name or revision.names.dns[0]


def order_request(order: Order, approval: VerifiedApproval) -> OrderRequest:
    """What is sent to the CA for the intent of this entry."""
    revision = approval.revision.revision
    csr = revision.csr or order.csr
    if order.alternative_order_id is None or order.expires_on is None or csr is None:
        raise ValueError("an order needs a stored intent, and a CSR")
    return OrderRequest(
        product=revision.policy.product,
        alternative_order_id=order.alternative_order_id,
        csr=csr,
        common_name=common_name_of(revision),
        dns_names=revision.names.dns,
        signature_hash=revision.policy.signature_hash,
        organization_id=revision.policy.organization_id,
        ca_cert_id=revision.policy.ca_cert_id,
        extended_key_usage=purposes_of(revision.extensions),
        expires_on=order.expires_on,
        container_id=revision.policy.container_id,
    )


def intent_of(
    order: Order, approval: VerifiedApproval, policy_digest: Digest, *, alternative_order_id: MessageId, today: date
) -> Intent:
    """What the issuer signs before it orders: this approval held under this policy."""
    return Intent(
        request_id=order.id,
        revision=approval.revision.digest,
        verdict=approval.verdict_digest,
        alternative_order_id=alternative_order_id,
        expires_on=last_day_of(approval.revision.revision, ordered_on=today),
        policy_digest=policy_digest,
        csr=None if order.csr is None else digest_of(order.csr),
    )


def intended(order: Order, anchor: Anchor, *, now: datetime) -> tuple[Intent, date, Revision]:
    """What was ordered for this entry, and on which day, by the issuer's own signed word of that time.

    Whether the approval holds was judged then, and a policy that has changed since takes nothing back.

    Raises:
        RefusedError: `evidence.*`, the ledger was changed behind the issuer's back.
    """
    signed = verify(order.intent or "", Typ.INTENT, anchor.duties[Duty.ISSUER], now=now)
    intent = Intent.read(signed.payload, code="evidence.intent-invalid")
    if order.evidence is None or order.evidence.verdict is None:
        raise RefusedError(finding("evidence.verdict-missing", "the ledger has lost the approval"))
    payload = payload_of(order.evidence.revisions[-1].jws)
    kept = (order.id, digest_of(payload), digest_of(payload_of(order.evidence.verdict)), order.alternative_order_id)
    made = None if order.csr is None else digest_of(order.csr)
    if (*kept, made) != (intent.request_id, intent.revision, intent.verdict, intent.alternative_order_id, intent.csr):
        raise RefusedError(finding("evidence.intent-differs", "the ledger holds another approval than was ordered"))
    return intent, signed.signed_at.date(), Revision.read(payload, code="evidence.revision-invalid")


def check_certificate(
    issuance: Issuance, revision: Revision, anchor: Anchor, roots: Sequence[bytes], *, now: datetime
) -> list[Finding]:
    """Every difference between what came back and what was approved, and every flaw of its chain."""
    compared = [extension.type for extension in revision.extensions]
    return [
        *check_issued(issuance, revision, anchor, issued_at=now),
        *verify_chain(issuance.chain, roots, at=_begun(issuance, now), compared=compared),
    ]


def _begun(issuance: Issuance, now: datetime) -> datetime:
    """Now, or a moment later: the CA's clock may be a little ahead of ours."""
    return min(max(now, parse_certificate(issuance.chain[0]).not_before), now + SKEW)


def ordered_revision(order: Order) -> Revision:
    """What was ordered, as the entry has it; that it is what was approved, `intended` says.

    Raises:
        RefusedError: `evidence.*`.
    """
    if order.evidence is None:
        raise ValueError("an accepted entry has its evidence")
    return Revision.read(payload_of(order.evidence.revisions[-1].jws), code="evidence.revision-invalid")


def check_made(order: Order, anchor: Anchor, *, now: datetime) -> None:
    """Check that the key pair of an entry is the one that the issuer made for it, by its own signed word.

    Raises:
        RefusedError: `evidence.*`, the ledger was changed behind the issuer's back; or `issued.key-erased`.
    """
    signed = verify(order.intent or "", Typ.INTENT, anchor.duties[Duty.ISSUER], now=now)
    intent = Intent.read(signed.payload, code="evidence.intent-invalid")
    if intent.request_id != order.id or order.csr is None or intent.csr != digest_of(order.csr):
        raise RefusedError(finding("evidence.key-differs", "the ledger holds another key pair than was made"))
    if order.held is None:
        raise RefusedError(key_erased())


def key_lost(found: OrderId) -> tuple[Finding, ...]:
    """Why a request fails of which the CA has an order, and the ledger has no key."""
    text = "the CA has an order of this, and the private key that was made for it is lost"
    return (finding("order.key-lost", text, value=found), left_there([found], "is of no use"))


def key_erased() -> Finding:
    """Why a certificate is held back whose private key is not there any more."""
    return finding("issued.key-erased", "its private key was erased before the certificate came: nobody has it")


def no_certificate(order: Order) -> Finding:
    """What is to be done where the CA says that it has issued, and sends nothing that could be compared or revoked."""
    text = f"if there is a certificate {order.certificate_id} at the CA, have it revoked there"
    return finding("issued.revocation-proposed", text, value=order.order_id, severity=Severity.NOTE)


def left_there(orders: Sequence[OrderId], what: str) -> Finding:
    """What is to be done about orders at the CA whose request does not go on, or goes on without them."""
    numbers = ", ".join(map(str, orders))
    text = f"order {numbers} at the CA {what}: have it cancelled there, or its certificate revoked if there is one"
    return finding(LEFT_THERE, text, value=numbers, severity=Severity.WARNING)


def check_download(
    order: Order | None, asked: str, *, sender: IdentityName, in_force: PolicyInForce
) -> tuple[Order, DownloadFormat]:
    """The entry and the format, if this identity may have that certificate in it.

    Raises:
        RefusedError: `request.unknown`, `download.format-unknown`, or `download.*` for a state in which there is none.
    """
    if order is None or order.approval_group is None or not _may_download(order, sender, in_force):
        raise RefusedError(finding("request.unknown", "there is no certificate for such a request that you may see"))
    if order.state is OrderState.QUARANTINED:
        raise RefusedError(
            finding("download.quarantined", "the CA's certificate differs from what was approved and is held back")
        )
    if order.state is not OrderState.ISSUED:
        raise RefusedError(finding("download.not-issued", "the certificate is not issued", value=order.state))
    if order.revoked:
        raise RefusedError(finding("download.revoked", "the certificate is revoked"))
    try:
        return order, DownloadFormat(asked)
    except ValueError:
        known = ", ".join(DownloadFormat)
        raise RefusedError(finding("download.format-unknown", f"the formats are {known}", value=asked)) from None


def signed_chain(order: Order, anchor: Anchor, *, now: datetime) -> tuple[bytes, ...]:
    """The chain as the issuer signed for it when it came, DER, leaf first: what the ledger says is not enough.

    Raises:
        RefusedError: `evidence.*`, the ledger was changed behind the issuer's back.
    """
    _, issuance = read_issuance(order.issuance or "", anchor, now=now)
    if issuance.request_id != order.id or issuance.outcome != "issued":
        raise RefusedError(finding("evidence.issuance-differs", "the ledger holds another request's certificate"))
    return issuance.chain


def _may_download(order: Order, sender: IdentityName, in_force: PolicyInForce) -> bool:
    identity = in_force.policy.identity(sender)
    if sender in order.requesters or identity is None or order.approval_group is None:
        return sender in order.requesters
    return identity.may(Permission.DOWNLOAD, order.approval_group)
