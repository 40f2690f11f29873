"""Honest lives of a request: its lifecycle events as their duties publish them, in their order."""

from collections.abc import Sequence

from shared.contracts import events
from shared.contracts.content import RequestContent
from shared.evidence.differences import differences
from shared.evidence.file import last_day_of
from shared.evidence.jws import Typ, payload_of
from shared.evidence.steps import DecisionKind, Issuance, Revocation
from shared.messaging.messages import Delivery
from shared.policy.policy import Policy
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import ApprovalGroupName, CertificateId, OrderId
from shared.vocabulary.reasons import RevocationReason
from shared.x509.certificate import parse_certificate
from tests import world
from tests.fakes.duties import event
from tests.world import DAY, NOW, Approved, decision, shared_ca, signing_key, verdict

WEB = ApprovalGroupName("web")
REASON = (finding("ca.refused", "the CA said: no"),)


class Life:
    """What happened to one request so far."""

    def __init__(self, begun: Approved) -> None:
        self.begun = begun
        self.sequence = 1
        self.told: list[Delivery] = []
        self._verdict: str | None = None
        self._issuance: Issuance | None = None
        self._about = {"request_id": begun.revision.request_id, "approval_group": WEB}

    def approved(self, *, by: Sequence[str] = ("alice", "ben")) -> "Life":
        request_id = self.begun.revision.request_id
        decisions = tuple(decision(self.begun.digest, request_id, by=name) for name in by)
        self._verdict = verdict(self.begun.digest, request_id, decisions, sequence=self.sequence + 1)
        evidence = self._evidence(decisions=decisions, verdict=self._verdict)
        return self._tell(events.RequestApproved(**self._about, evidence=evidence))

    def renewed(self, policy_now: Policy) -> "Life":
        """Approval renews the revision, of which it tells nobody before it is decided on."""
        self.begun = world.renewed(self.begun, policy_now)
        return self

    def edited(self, **says: object) -> "Life":
        """Carol edits it, and approval tells of that."""
        former, self.begun = self.begun.revision, world.edited(self.begun, **says)  # type: ignore[arg-type]  # fields
        told = differences(former, self.begun.revision)
        about = {**self._about, "by": "carol", "differences": told, "evidence": self.begun.evidence}
        return self._tell(events.RequestEdited.model_validate(about))

    def denied(self) -> "Life":
        request_id = self.begun.revision.request_id
        said = decision(self.begun.digest, request_id, by="carol", kind=DecisionKind.DENY)
        return self._tell(events.RequestDenied(**self._about, evidence=self._evidence(decisions=(said,))))

    def withdrawn(self) -> "Life":
        return self._tell(events.RequestWithdrawn(**self._about, by="shop"))

    def reminded(self) -> "Life":
        awaited = {"awaits": ("alice", "ben"), "approvals": 0, "quorum": 2, "until": NOW + DAY}
        return self._tell(events.RequestReminded(**self._about, **awaited))

    def expired(self) -> "Life":
        return self._tell(events.RequestExpired(**self._about, approvals=1, quorum=2))

    def returned(self) -> "Life":
        digest = digest_of(payload_of(self._verdict or ""))
        return self._tell(events.RequestReturned(**self._about, verdict=digest, findings=REASON))

    def withdrawn_in_time(self) -> "Life":
        digest = digest_of(payload_of(self._verdict or ""))
        return self._tell(events.WithdrawalGranted(**self._about, verdict=digest, by="shop"))

    def ordered(self) -> "Life":
        return self._tell(events.RequestOrdered(**self._about, order_id=7, message="soon"))

    def failed(self, findings: tuple[Finding, ...] = REASON) -> "Life":
        return self._tell(events.RequestFailed(**self._about, findings=findings))

    def issued(self) -> "Life":
        return self._tell(events.CertificateIssued(**self._about, **self._certificate("issued")))

    def quarantined(self) -> "Life":
        certificate = self._certificate("quarantined")
        return self._tell(events.CertificateQuarantined(**self._about, **certificate, findings=REASON))

    def revocation_asked(self, *, awaits: int = 0) -> "Life":
        """Somebody has asked for its revocation, which so many people must confirm."""
        said = {"reason": RevocationReason.SUPERSEDED, "by": "shop", "deadline": NOW + 5 * DAY, "awaits": awaits}
        return self._tell(events.RevocationAsked.model_validate({**self._about, **said}))

    def revocation_failed(self) -> "Life":
        reason = RevocationReason.SUPERSEDED
        return self._tell(events.RevocationFailed(**self._about, reason=reason, findings=REASON))

    def revoked(
        self, reason: RevocationReason = RevocationReason.SUPERSEDED, *, told: RevocationReason | None = None
    ) -> "Life":
        """Revoked for this reason, be it that the event tells another."""
        assert self._issuance is not None
        leaf = parse_certificate(self._issuance.chain[0])
        said = Revocation(
            request_id=self.begun.revision.request_id,
            issuance=digest_of(self._issuance.canonical()),
            serial_number=leaf.serial_hex,
            certificate=leaf.sha256,
            reason=reason,
            notes="",
            requested_by=self.begun.revision.requesters[0],
            requested_at=NOW,
            revoked_at=NOW,
            policy_digest=digest_of(b"policy"),
        )
        token = signing_key("revoker").sign(said.canonical(), Typ.REVOCATION, NOW)
        return self._tell(
            events.CertificateRevoked(**self._about, revocation=token, reason=told or reason, revoked_at=NOW)
        )

    def _certificate(self, outcome: str) -> dict[str, object]:
        ca = shared_ca()
        self._issuance = Issuance.model_validate(
            {
                "request_id": self.begun.revision.request_id,
                "revision": self.begun.digest,
                "verdict": digest_of(payload_of(self._verdict or "")),
                "outcome": outcome,
                "order_id": OrderId(1),
                "certificate_id": CertificateId(2),
                "alternative_order_id": "a",
                "chain": (ca.issue(self.begun.revision), ca.intermediate, ca.root),
                "ordered_on": NOW.date(),
                "expires_on": last_day_of(self.begun.revision, ordered_on=NOW.date()),
                "policy_digest": digest_of(b"policy"),
            }
        )
        leaf = parse_certificate(self._issuance.chain[0])
        return {
            "issuance": signing_key("issuer").sign(self._issuance.canonical(), Typ.ISSUANCE, NOW),
            "revision": self.begun.evidence.revisions[-1],
            "serial_number": leaf.serial_hex,
            "not_after": leaf.not_after,
        }

    def _evidence(self, **update: object) -> events.Evidence:
        return self.begun.evidence.model_copy(update=update)

    def _tell(self, happened: events.LifecycleEvent) -> "Life":
        self.sequence += 1
        origin = f"{happened.request_id}/{self.sequence}"
        self.told.append(event(happened, sequence=self.sequence, origin=origin))
        return self


def begin(asked: RequestContent | None = None) -> Life:
    return Life(world.accepted(asked))
