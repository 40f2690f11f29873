"""Whether what the CA sent may be delivered: compared with what was approved, its chain verified, and linted."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.issuer import rules
from services.issuer.model import Order
from shared.clock import Clock
from shared.errors import RefusedError
from shared.evidence.in_force import PolicyInForce
from shared.evidence.steps import Issuance, Revision
from shared.lint.kinds import Linter, LintKind
from shared.policy.products import product_of
from shared.vocabulary.findings import Finding, Severity, finding, refuses
from shared.x509.comparison import CertificateKind

LINT_KINDS = {
    CertificateKind.DOMAIN_VALIDATED: LintKind.PUBLIC_TLS_DV,
    CertificateKind.ORGANISATION_VALIDATED: LintKind.PUBLIC_TLS,
    CertificateKind.EXTENDED_VALIDATION: LintKind.PUBLIC_TLS_EV,
    CertificateKind.PRIVATE: LintKind.PRIVATE,
}


@dataclass(frozen=True)
class Inspection:
    """Judges certificates before they are delivered."""

    linter: Linter
    in_force: PolicyInForce
    roots: Sequence[bytes]
    clock: Clock

    async def of(self, order: Order, issuance: Issuance) -> tuple[Issuance, tuple[Finding, ...]]:
        """The issuance with its outcome, and with the day, end and policy by which it was ordered; and what was found.

        An error among the findings quarantines the certificate. Without one they are what is worth noting.

        Raises:
            UnavailableError: of `linter`: nobody can tell for now.
        """
        now, anchor = self.clock.now(), self.in_force.anchor
        try:
            intent, ordered_on, revision = rules.intended(order, anchor, now=now)
            ordered = {"policy_digest": intent.policy_digest, "expires_on": intent.expires_on, "ordered_on": ordered_on}
            issuance = issuance.model_copy(update=ordered)
            differences = rules.check_certificate(issuance, revision, anchor, self.roots, now=now)
            found = (*differences, *await self._linted(issuance.chain[0], revision))
        except RefusedError as refused:
            found = refused.findings
        if not refuses(found):
            return issuance, found
        return issuance.model_copy(update={"outcome": "quarantined"}), (*found, _proposal(order))

    async def _linted(self, leaf: bytes, revision: Revision) -> list[Finding]:
        """What the linter objects to; what the product is known for is worth a note, what it notes itself is not."""
        product = product_of(revision.policy.product, revision.policy.trust)
        found = await self.linter.lint(leaf, LINT_KINDS[product.kind])
        return [
            each.model_copy(update={"severity": Severity.NOTE}) if each.code in product.lint_known else each
            for each in found
            if each.severity is not Severity.NOTE
        ]


def _proposal(order: Order) -> Finding:
    text = f"have the CA revoke it: ra revoke {order.id} --reason superseded"
    return finding("issued.revocation-proposed", text, value=order.order_id, severity=Severity.NOTE)
