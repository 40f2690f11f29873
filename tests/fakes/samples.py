"""One honest example of every contract and of every aggregate, with each of its fields filled."""

from datetime import UTC, date, datetime
from functools import cache

from services.approval.model import AskedWithdrawal, Case, KnownFacts
from services.intake.mail.model import Mail, News, Undelivered
from services.intake.model import Happening, KnownKey, RequestRecord
from services.intake.tally import Tally
from services.issuer.model import BlockedKey, EvidenceRefusal, FeedMark, Held, Order, Settlement
from services.revoker.model import CampaignRecord, Certificate
from shared.contracts import commands, events, replies
from shared.contracts.audit import CHECKPOINT_OF
from shared.contracts.campaigns import Campaign, CampaignEntry
from shared.contracts.catalogue import COMMANDS
from shared.contracts.notices import Awaited, CertificateExpiring, DecisionAwaited
from shared.contracts.replies import HistoryEntry, RequestSummary, Result
from shared.contracts.statement import UnsignedSubmission
from shared.digicert.quota import Account, Share, Use
from shared.evidence.compatibility import sign_facts
from shared.evidence.jws import Typ
from shared.evidence.steps import DecisionKind
from shared.identifiers import following_id
from shared.messaging.aggregate import Aggregate
from shared.messaging.messages import Outcome, Outgoing
from shared.vocabulary.differences import difference
from shared.vocabulary.findings import Finding, Severity, finding
from shared.vocabulary.fit import Fit
from shared.vocabulary.formats import DownloadFormat
from shared.vocabulary.held import HeldKind
from shared.vocabulary.model import Model, digest_of
from shared.vocabulary.names import (
    ApprovalGroupName,
    CertificateId,
    DnProfileName,
    ExtensionProfileName,
    IdentityName,
    OrderId,
    RequestId,
    SigningCertificateName,
)
from shared.vocabulary.orders import OrderState
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import CertificateState
from shared.vocabulary.states import State
from shared.x509.possession import PossessionProof, PossessionStatement
from tests import world
from tests.world import signing_key

REQUEST = RequestId("0190a0c0-1111-7000-8000-000000000001")
OTHER = RequestId("0190a0c0-2222-7000-8000-000000000002")
WEB = ApprovalGroupName("web")
SHOP, BEN = IdentityName("shop"), IdentityName("ben")
MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)
ANCIENT = datetime(1999, 12, 31, 23, 59, 59, 1, tzinfo=UTC)
STRANGE = 'ünï→🔑 "q" \\ $set.a \x00 \N{RIGHT-TO-LEFT OVERRIDE}'
"""What databases and escapes like to stumble over."""
DIGEST = digest_of(b"something")
BYTES = bytes(range(256))
WARNING: Finding = finding("name.odd", STRANGE, value=STRANGE, severity=Severity.WARNING)
MESSAGE = following_id("sample", "message")
DIFFERENCE = difference("notes", STRANGE, "")
OUTGOING = Outgoing(exchange="ra.events", key="issuer.x.y.web", id=MESSAGE, type="ra.x.v1", body=STRANGE)
PROOF = PossessionProof(
    statement=PossessionStatement(certificate="0a", key=DIGEST, relayed_by=SHOP, signed_at=1_800_000_000),
    signature=BYTES,
)
REVOCATION = replies.Revocation(
    request_id=REQUEST,
    revocation_id=MESSAGE,
    state=CertificateState.REQUESTED,
    approval_group=WEB,
    serial_number="0a",
    certificate=DIGEST,
    reason=RevocationReason.SUPERSEDED,
    notes=STRANGE,
    by=SHOP,
    asked_at=ANCIENT,
    deadline=MOMENT,
    needed=2,
    confirmed_by=(BEN,),
    ended_at=MOMENT,
    findings=(WARNING,),
)
CAMPAIGN = Campaign(
    campaign_id=MESSAGE,
    reason=RevocationReason.SUPERSEDED,
    notes="old",
    cap=3,
    count=1,
    groups=(WEB,),
    parts=(DIGEST,),
)
SUMMARY = RequestSummary(
    request_id=REQUEST,
    name="the shop's front door",
    state=State.ISSUED,
    approval_group=WEB,
    requesters=(SHOP, BEN),
    subject="CN=www.example.com",
    submitted_at=ANCIENT,
    changed_at=MOMENT,
)
HISTORY = (
    HistoryEntry(at=ANCIENT, state=State.PENDING, by="intake", message="accepted", differences=(DIFFERENCE,)),
    HistoryEntry(at=MOMENT, state=State.ISSUED, by="issuer", message=STRANGE),
)
ORDER = replies.OrderSummary(
    request_id=REQUEST,
    approval_group=WEB,
    state=OrderState.PENDING,
    accepted_at=ANCIENT,
    order_id=7,
    findings=(WARNING,),
)
STATUS = replies.StatusResult(
    request=SUMMARY,
    names=("www.example.com",),
    findings=(WARNING,),
    history=HISTORY,
    serial_number="0a",
    not_after=MOMENT,
)


@cache
def whole_evidence() -> events.Evidence:
    """All the steps; the revocation is not a true one."""
    token = signing_key("revoker").sign(b"{}", Typ.REVOCATION, world.NOW)
    return world.issued(world.content(REQUEST)).evidence.model_copy(update={"revocation": token})


@cache
def sample_commands() -> dict[type[Model], Model]:
    asked = world.content(REQUEST, notes=STRANGE.replace("\x00", ""), emails=("a@example.com",))
    decided = {kind: world.decision(DIGEST, REQUEST, by="alice", kind=kind) for kind in DecisionKind}
    made: list[Model] = [
        commands.SubmitRequest(submission=UnsignedSubmission(content=asked)),
        commands.ShowOptions(),
        commands.ShowStatus(request_id=REQUEST),
        commands.ListRequests(before=REQUEST, limit=7),
        commands.ShowSummary(),
        commands.ListPublications(after=REQUEST, limit=7),
        commands.ExportEvidence(request_id=REQUEST),
        commands.ListPending(
            approval_group=WEB,
            after=REQUEST,
            limit=7,
            text="shop",
            requester=SHOP,
            accepted_before=MOMENT,
            accepted_after=ANCIENT,
        ),
        commands.ShowCase(request_id=REQUEST),
        commands.ListSigningCertificates(),
        commands.EditRequest(request_id=REQUEST, edit=world.edit(world.accepted(asked), name="another")),
        commands.ApproveRequest(request_id=REQUEST, decision=decided[DecisionKind.APPROVE]),
        commands.DenyRequest(request_id=REQUEST, decision=decided[DecisionKind.DENY]),
        commands.WithdrawRequest(request_id=REQUEST),
        commands.ResendVerdict(request_id=REQUEST),
        commands.DownloadCertificate(request_id=REQUEST, format="pem-x509", chain=False),
        commands.ListOrders(approval_group=WEB, states=(OrderState.UNCLEAR,), after=REQUEST, limit=7),
        commands.ShowOrder(request_id=REQUEST),
        commands.SettleOrder(request_id=REQUEST, adopt=OrderId(7)),
        commands.ListSealed(approval_group=WEB, after=REQUEST, limit=7),
        commands.EraseSealed(request_id=REQUEST),
        commands.FailOrder(request_id=REQUEST, reason="nobody wants it any more"),
        commands.RevokeCertificate(
            serial_number="0a", reason=RevocationReason.KEY_COMPROMISE, notes="old", proof=PROOF
        ),
        commands.ConfirmRevocation(request_id=REQUEST, confirmation=decided[DecisionKind.APPROVE]),
        commands.DenyRevocation(request_id=REQUEST, confirmation=decided[DecisionKind.DENY]),
        commands.ShowRevocation(request_id=REQUEST),
        commands.ListRevocations(
            approval_group=WEB, states=(CertificateState.REQUESTED,), campaign=DIGEST, after=REQUEST, limit=7
        ),
        commands.ListCertificates(
            approval_group=WEB,
            request_ids=(REQUEST,),
            serial_numbers=("0a",),
            issuer=STRANGE,
            key=DIGEST,
            requester=SHOP,
            issued_after=ANCIENT,
            issued_before=MOMENT,
            after=OTHER,
            limit=7,
        ),
        commands.RevokeCampaign(
            campaign=CAMPAIGN,
            signatures=(decided[DecisionKind.APPROVE], decided[DecisionKind.DENY]),
            part=0,
            certificates=(CampaignEntry(request_id=REQUEST, certificate=DIGEST),),
        ),
        commands.ShowCampaign(campaign=DIGEST),
    ]
    return {type(each): each for each in made}


@cache
def sample_events() -> dict[type[events.LifecycleEvent], events.LifecycleEvent]:
    whole = whole_evidence()
    about = {"request_id": REQUEST, "approval_group": WEB}
    certificate: dict[str, object] = {
        "issuance": whole.issuance,
        "revision": whole.revisions[0],
        "serial_number": "0a",
        "not_after": MOMENT,
    }
    reason = {"reason": RevocationReason.KEY_COMPROMISE}
    denial = world.decision(DIGEST, REQUEST, by="alice", kind=DecisionKind.DENY)
    kinds: dict[type[events.LifecycleEvent], dict[str, object]] = {
        events.RequestAccepted: {"evidence": whole},
        events.RequestEdited: {"by": "ben", "differences": (DIFFERENCE,), "evidence": whole},
        events.RequestRefused: {"findings": (WARNING,)},
        events.RequestApproved: {"evidence": whole},
        events.RequestDenied: {"evidence": whole},
        events.RequestWithdrawn: {"by": "shop"},
        events.RequestExpired: {"approvals": 1, "quorum": 2},
        events.RequestReminded: {"awaits": ("alice", "ben"), "approvals": 1, "quorum": 2, "until": MOMENT},
        events.RequestReturned: {"verdict": DIGEST, "findings": (WARNING,), "denial": denial},
        events.RequestOrdered: {"order_id": 7, "message": "soon"},
        events.RequestFailed: {"findings": (WARNING,)},
        events.CertificateIssued: certificate,
        events.CertificateQuarantined: {**certificate, "findings": (WARNING,)},
        events.WithdrawalGranted: {"verdict": DIGEST, "by": "shop"},
        events.RevocationAsked: {**reason, "by": "shop", "deadline": MOMENT, "awaits": 1},
        events.CertificateRevoked: {**reason, "revocation": whole.revocation, "revoked_at": MOMENT},
        events.RevocationFailed: {**reason, "findings": (WARNING,)},
    }
    return {kind: kind.model_validate({**about, **fields}) for kind, fields in kinds.items()}


@cache
def sample_news() -> dict[type[Model], Model]:
    token = sign_facts(world.product_facts(), signing_key("issuer"))
    told = events.ProductFactsTaken(signing_certificate=SigningCertificateName("public-tls"), facts=token)
    asked = events.WithdrawalAsked(
        request_id=REQUEST, approval_group=WEB, verdict=DIGEST, approved_as=2, command=MESSAGE, by=SHOP
    )
    refused = events.WithdrawalRefused(request_id=REQUEST, verdict=DIGEST, command=MESSAGE, findings=(WARNING,))
    blocked = events.KeyBlocked(approval_group=WEB, block=token)
    checkpoints = [model(checkpoint=token) for model in CHECKPOINT_OF.values()]
    password = events.PasswordAsked(request_id=REQUEST, approval_group=WEB, evidence=whole_evidence())
    checked = events.PasswordChecked(request_id=REQUEST, findings=(WARNING,))
    token = signing_key("issuer").sign(b"{}", Typ.DELIVERY, world.NOW)
    delivered = events.CertificateDelivered(request_id=REQUEST, delivery=token)
    erased = events.KeyErased(request_id=REQUEST, erasure=token)
    mine = (password, checked, delivered, erased)
    return {type(each): each for each in (told, asked, refused, blocked, *mine, *checkpoints)}


@cache
def sample_notices() -> dict[type[Model], Model]:
    made: list[Model] = [
        events.RequestNotice(request_id=REQUEST, state=State.FAILED, message=STRANGE, findings=(WARNING,)),
        DecisionAwaited(
            request_id=REQUEST,
            approval_group=WEB,
            name=STRANGE,
            subject=STRANGE,
            requesters=(SHOP, BEN),
            why=Awaited.EDITED,
            message=STRANGE,
        ),
        CertificateExpiring(request_id=REQUEST, name=STRANGE, serial_number="0a", not_after=MOMENT, days=30),
    ]
    return {type(each): each for each in made}


@cache
def sample_results() -> dict[type[Result], Result]:
    decision = world.decision(DIGEST, REQUEST, by="alice")
    file = world.policy().file
    extensions, dn = ExtensionProfileName("tls-server"), DnProfileName("server")
    made: list[Result] = [
        replies.SubmitResult(request_id=REQUEST, state=State.PENDING),
        replies.OptionsResult(
            signing_certificates=(
                replies.SigningCertificateOption(
                    name=SigningCertificateName("public-tls"),
                    description="d",
                    trust="public",
                    approval_groups=(WEB,),
                    extension_profiles=(ExtensionProfileName("tls-server"),),
                    dn_profiles=(DnProfileName("server"),),
                    enrollment_methods=("csr",),
                    key_types=("rsa-2048",),
                    signature_hashes=("sha256",),
                    max_validity_days=199,
                ),
            ),
            extension_profiles=(
                replies.ExtensionProfileOption(name=extensions, profile=file.extension_profiles[extensions]),
            ),
            dn_profiles=(replies.DnProfileOption(name=dn, profile=file.dn_profiles[dn]),),
            approval_groups=(
                replies.ApprovalGroupOption(name=WEB, description="b", quorum=2, decide_within_hours=1, on_behalf=True),
            ),
        ),
        STATUS,
        replies.RequestsResult(requests=(SUMMARY,), more=True),
        replies.PublicationsResult(
            publications=(
                replies.Publication(
                    request_id=REQUEST,
                    approval_group=WEB,
                    state=State.REVOKED,
                    changed_at=MOMENT,
                    revisions=whole_evidence().revisions,
                    verdict=whole_evidence().verdict,
                    order_id=7,
                    issuance=whole_evidence().issuance,
                    revocation=whole_evidence().revocation,
                ),
            ),
            more=True,
            groups=(WEB,),
            complete=True,
        ),
        replies.EvidenceResult(request_id=REQUEST, evidence="{}"),
        replies.SummaryResult(
            groups=(
                replies.GroupSummary(approval_group=WEB, complete=True, counts={State.PENDING: 5, State.ISSUED: 2}),
            )
        ),
        replies.PendingResult(
            cases=(replies.PendingCase(request=SUMMARY, approvals=1, quorum=2, decided_by_me=True),),
            more=True,
            next=REQUEST,
        ),
        replies.CaseResult(
            request_id=REQUEST,
            state=State.PENDING,
            revision=whole_evidence().revisions[0],
            former=whole_evidence().revisions[0],
            edit=world.edit(world.accepted(world.content(REQUEST)), name="another"),
            decisions=(decision,),
            quorum=2,
            returned_because=(WARNING,),
            blocked_because=(WARNING,),
            held_because=(WARNING,),
        ),
        replies.EditResult(
            request_id=REQUEST,
            state=State.PENDING,
            number=2,
            revision=DIGEST,
            differences=(DIFFERENCE,),
            findings=(WARNING,),
        ),
        replies.DecisionResult(
            request_id=REQUEST, state=State.APPROVED, approvals=2, quorum=2, held_because=(WARNING,)
        ),
        replies.SigningCertificatesResult(
            signing_certificates=(
                replies.SigningCertificateStanding(
                    name=SigningCertificateName("public-tls"),
                    product="ssl_basic",
                    ca_cert_id="1",
                    fit=Fit.UNKNOWN,
                    findings=(WARNING,),
                    facts_taken_at=MOMENT,
                    attested_until=MOMENT.date(),
                ),
            )
        ),
        replies.WithdrawResult(request_id=REQUEST, state=State.WITHDRAWN),
        replies.DownloadResult(
            request_id=REQUEST,
            format=DownloadFormat.DER_PKCS7,
            media_type="application/pkcs7-mime",
            file_name="a.p7c",
            content=BYTES,
        ),
        replies.OrdersResult(orders=(ORDER,), more=True),
        replies.OrderResult(
            order=ORDER,
            what_to_do=STRANGE,
            requesters=(SHOP, BEN),
            tries=3,
            attempt=2,
            alternative_order_id=MESSAGE,
            certificate_id=8,
            ca_status="pending",
            expires_on=date(2027, 2, 28),
            next_look=MOMENT,
        ),
        replies.ResendResult(request_id=REQUEST, state=State.APPROVED),
        replies.SettleResult(request_id=REQUEST, state=OrderState.UNCLEAR),
        replies.SealedResult(
            held=(
                replies.SealedSummary(
                    request_id=REQUEST,
                    approval_group=WEB,
                    kind=HeldKind.PKCS12,
                    since=ANCIENT,
                    opening_key=world.opening_key().kid,
                    erased_at=MOMENT,
                ),
            ),
            more=True,
        ),
        replies.EraseResult(request_id=REQUEST, kind=HeldKind.PKCS8),
        replies.RevokeResult(
            request_id=REQUEST,
            state=State.ISSUED,
            reason=RevocationReason.SUPERSEDED,
            certificate=DIGEST,
            deadline=MOMENT,
            awaits=2,
            same_key=(replies.OtherCertificate(request_id=OTHER, serial_number="0b", not_after=MOMENT),),
        ),
        replies.RevocationResult(request_id=REQUEST, revocation=REVOCATION),
        replies.RevocationsResult(revocations=(REVOCATION,), more=True),
        replies.CertificatesResult(
            certificates=(
                replies.LiveCertificate(
                    request_id=REQUEST,
                    certificate=DIGEST,
                    serial_number="0a",
                    issuer=STRANGE,
                    approval_group=WEB,
                    requesters=(SHOP, BEN),
                    not_after=MOMENT,
                ),
            ),
            next=REQUEST,
        ),
        replies.CampaignPartResult(
            campaign=DIGEST,
            part=0,
            accepted=1,
            left_out=(replies.LeftOut(request_id=REQUEST, findings=(WARNING,)),),
        ),
        replies.CampaignResult(
            campaign=DIGEST,
            reason=RevocationReason.SUPERSEDED,
            count=10,
            started_at=ANCIENT,
            deadline=MOMENT,
            requested=1,
            revoking=2,
            revoked=3,
            failed=4,
        ),
    ]
    return {type(each): each for each in made}


def result_for(command: type[Model]) -> Result:
    """The example of what this command is answered with."""
    return next(sample_results()[contract.result] for contract in COMMANDS if contract.model is command)


@cache
def sample_aggregates() -> dict[type[Aggregate], Aggregate]:
    whole = whole_evidence()
    kept = {"outcomes": {MESSAGE: Outcome(publish=(OUTGOING, OUTGOING)), "b": Outcome()}, "version": 3}
    asked = {"id": REQUEST, "approval_group": WEB, "requesters": (SHOP, BEN)}
    record = RequestRecord.model_validate(
        {
            **asked,
            **kept,
            "content": DIGEST,
            "sender": SHOP,
            "listed_for": (SHOP, BEN),
            "name": STRANGE,
            "subject": STRANGE,
            "names": ("www.example.com", "bücher.example"),
            "state": State.QUARANTINED,
            "sequence": 9,
            "findings": (WARNING,),
            "evidence": whole,
            "serial_number": "0a",
            "not_after": ANCIENT,
            "happenings": (
                Happening(
                    sequence=3,
                    at=ANCIENT,
                    by="issuer",
                    state=None,
                    message=STRANGE,
                    findings=(WARNING,),
                    verdict=DIGEST,
                    gives_back=True,
                    order_id=OrderId(2**40),
                    differences=(DIFFERENCE,),
                ),
            ),
            "decided": 2,
            "warn_due": 1_800_000_000_123,
            "mails": (
                Mail(
                    id=MESSAGE,
                    news=News.ISSUED,
                    to="a@example.com",
                    is_named=True,
                    at_ms=1_800_000_000_124,
                    sequence=3,
                    tries=2,
                    due=1_800_000_000_125,
                ),
            ),
            "due": 1_800_000_000_125,
            "waiting_since": 1_800_000_000_124,
            "undelivered": (
                Undelivered(news=News.PENDING, to="b@example.com", at_ms=1_800_000_000_126, reason=STRANGE),
            ),
            "tallied": State.ISSUED,
            "tally": 7,
            "untallied": WEB,
        }
    )
    tally = Tally.model_validate(
        {
            **kept,
            "id": WEB,
            "counts": {State.ISSUED: 2**40, State.PENDING: 0},
            "number": 7,
            "batch": {REQUEST: State.ISSUED, OTHER: State.PENDING},
            "begun": 1,
            "complete": True,
        }
    )
    case = Case.model_validate(
        {
            **asked,
            **kept,
            "state": State.PENDING,
            "sequence": 2,
            "open_for": WEB,
            "name": STRANGE,
            "subject": STRANGE,
            "evidence": whole,
            "revision": DIGEST,
            "policy_serial": 3,
            "deciders": (BEN,),
            "verdict": DIGEST,
            "returned_because": (WARNING,),
            "held_because": (WARNING, WARNING),
            "password_unchecked": True,
            "unpublished": (OUTGOING,),
            "asked_about": DIGEST,
            "withdrawals": (AskedWithdrawal(command=MESSAGE, by=SHOP),),
            "due": 0,
            "timed_by": 3,
            "reminded_at": ANCIENT,
            "accepted_at": ANCIENT,
            "returned_at": ANCIENT,
            "changed_at": MOMENT,
        }
    )
    order = Order.model_validate(
        {
            **asked,
            **kept,
            "state": OrderState.INTENT,
            "denials": (whole.decisions[0],),
            "voided": (DIGEST,),
            "sequence": 4,
            "policy_serial": 3,
            "evidence": whole,
            "revision": DIGEST,
            "verdict": DIGEST,
            "origin_ms": 1_799_999_000_000,
            "accepted_at_ms": 1_799_999_999_999,
            "attempt": 2,
            "tries": 3,
            "alternative_order_id": MESSAGE,
            "expires_on": date(2027, 2, 28),
            "unanswered": 1,
            "intended_at_ms": 1_800_000_000_123,
            "searched_at_ms": 1_800_000_000_122,
            "intent": whole.issuance,
            "order_id": OrderId(2**40),
            "ca_status": "pending",
            "told_status": "issued",
            "certificate_id": CertificateId(2**41),
            "issuance": whole.issuance,
            "findings": (WARNING,),
            "settlement": Settlement(by=BEN, adopt=OrderId(7), fail="no"),
            "waits": 4,
            "unpublished": (OUTGOING,),
            "due": 1_800_000_000_456,
            "due_then": 1_800_000_000_457,
            "csr": BYTES,
            "revoked": True,
            "held_for": WEB,
            "held": Held(
                kind=HeldKind.PKCS12,
                content=BYTES,
                opening_key=world.opening_key().kid,
                since_ms=1_799_999_999_999,
                erase_ms=1_800_000_000_457,
                once=False,
                taken_by=BEN,
            ),
        }
    )
    certificate = Certificate.model_validate(
        {
            **asked,
            **kept,
            "state": CertificateState.REVOKING,
            "quarantined": True,
            "sequence": 5,
            "order_id": OrderId(7),
            "certificate_id": CertificateId(8),
            "serial_number": "0a",
            "digest": DIGEST,
            "issuance": DIGEST,
            "issuer": STRANGE,
            "product": "ssl_basic",
            "trust": "public",
            "issued_ms": 7,
            "not_after": MOMENT,
            "campaigns": (DIGEST,),
            "spki": BYTES,
            "key": DIGEST,
            "revocation": {
                "id": MESSAGE,
                "reason": RevocationReason.CA_COMPROMISE,
                "notes": STRANGE,
                "by": BEN,
                "at": MOMENT,
                "deadline": MOMENT,
                "proof": PROOF,
                "needed": 2,
                "confirmations": (world.decision(DIGEST, REQUEST, by="alice"),),
                "confirmed_by": (BEN,),
                "replaces": RevocationReason.SUPERSEDED,
                "tries": 3,
                "ca_request": 9,
                "waits": 2,
                "ended_at": MOMENT,
                "campaign": DIGEST,
                "findings": (WARNING,),
            },
            "revoked_for": RevocationReason.SUPERSEDED,
            "deadline_ms": 1_800_000_000_126,
            "unpublished": (OUTGOING,),
            "due": 0,
        }
    )
    refusal = EvidenceRefusal.model_validate(
        {**kept, "id": MESSAGE, "request_id": REQUEST, "findings": (WARNING, WARNING)}
    )
    known = KnownKey.model_validate(
        {**kept, "id": DIGEST, "requesters": (SHOP, BEN), "requests": (REQUEST, OTHER), "compromised_by": OTHER}
    )
    blocked = BlockedKey.model_validate({**kept, "id": DIGEST, "request_id": REQUEST})
    campaign = CampaignRecord.model_validate(
        {
            **kept,
            "id": DIGEST,
            "campaign": CAMPAIGN,
            "signatures": (world.decision(DIGEST, REQUEST, by="alice"),),
            "signers": (BEN,),
            "by": BEN,
            "at": MOMENT,
        }
    )
    account = Account.model_validate(
        {
            **kept,
            "id": "ca",
            "shares": {
                "0a": Share(
                    told_ms=123_456,
                    uses=(Use(until_ms=123_123, calls=2), Use(until_ms=123_124, calls=1)),
                    held=Use(until_ms=154_456, calls=10),
                    blocked_until_ms=123_789,
                ),
                "0b": Share(told_ms=-1_800_000_000_789),
            },
            "refusals": 3,
        }
    )
    mark = FeedMark.model_validate({**kept, "id": "status-changes", "seen_ms": 1_800_000_000_123, "due": 5})
    facts = KnownFacts.model_validate({**kept, "id": "public-tls", "token": whole.issuance})
    return {
        type(each): each
        for each in (facts, record, tally, known, case, order, certificate, refusal, blocked, campaign, account, mark)
    }
