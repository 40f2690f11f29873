"""Dual control of the policy: it counts only as signed by two policy officers, and never gives way to an older one.

The officers' keys are pinned in the duties' settings, outside the policy: a policy can't name its own judges.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.statement import CompactJws
from shared.errors import RefusedError
from shared.evidence.jws import SigningKey, Typ, kid_of, payload_of, verify
from shared.policy.policy import Policy
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.keys import PublicKey
from shared.vocabulary.model import Model
from shared.vocabulary.names import DigestField, PersonField

OFFICERS_NEEDED = 2
SIGNATURES_SUFFIX = ".signatures"
"""What the name of a policy's signatures file has beyond that of the policy."""


class Officer(Model):
    """A person whose signature makes a policy count, with the key pinned for them."""

    name: PersonField
    key: PublicKey


class PolicyStatement(Model):
    """What an officer signs: this serial, and these bytes of the policy and of the certificates it names."""

    serial: Annotated[int, Field(ge=1)]
    digest: DigestField


class PolicySignatures(Model):
    """The file beside the policy."""

    format: Literal["countersign-policy-signatures/1"] = "countersign-policy-signatures/1"
    signatures: Annotated[tuple[CompactJws, ...], Field(max_length=20)] = ()


def sign_policy(policy: Policy, key: SigningKey, *, at: datetime) -> str:
    """An officer's signature under this policy."""
    return key.sign(_statement(policy).canonical(), Typ.POLICY, at)


def with_signature(signatures: PolicySignatures, policy: Policy, token: str, *, key: PublicKey) -> PolicySignatures:
    """The signatures that are of this policy, with one more; a signature of the same key is replaced."""
    kept = [known for known in signatures.signatures if not _is_by(known, key) and _is_of(known, policy)]
    return PolicySignatures(signatures=(*kept, token))


def signers(
    policy: Policy, signatures: PolicySignatures, officers: Sequence[Officer], *, now: datetime
) -> tuple[list[str], list[Finding]]:
    """The distinct officers who signed exactly this policy, and why other signatures don't count."""
    names: dict[str, None] = {}
    findings: list[Finding] = []
    for token in signatures.signatures:
        try:
            signed = verify(token, Typ.POLICY, [officer.key for officer in officers], now=now)
            said = PolicyStatement.read(signed.payload, code="policy.signature-invalid")
        except RefusedError as refused:
            findings += refused.findings
            continue
        if said != _statement(policy):
            findings.append(finding("policy.signature-differs", "a signature is of another version of this policy"))
            continue
        names[next(officer.name for officer in officers if officer.key.kid == signed.kid)] = None
    return list(names), findings


def check_dual_control(
    policy: Policy, signatures: PolicySignatures, officers: Sequence[Officer], *, now: datetime
) -> None:
    """Check that two officers signed exactly this policy.

    Raises:
        RefusedError: `policy.not-countersigned`, and why each signature that is there does not count.
    """
    names, findings = signers(policy, signatures, officers, now=now)
    if len(names) < OFFICERS_NEEDED:
        by = f"only {names[0]} has" if names else "no policy officer has"
        text = f"{by} signed this policy; it needs {OFFICERS_NEEDED}: ra policy sign FILE --key OFFICER.pem"
        raise RefusedError(finding("policy.not-countersigned", text), *findings)


def check_not_older(policy: Policy, *, serial: int, digest: str) -> None:
    """Check a policy against the newest one that this duty has ever had in force.

    Raises:
        RefusedError: `policy.older`, or `policy.serial-reused` for another policy of the same serial.
    """
    if policy.serial < serial:
        text = f"a policy with serial {serial} was in force before; this one has {policy.serial}"
        raise RefusedError(finding("policy.older", text))
    if policy.serial == serial and policy.digest != digest:
        raise RefusedError(
            finding("policy.serial-reused", f"another policy with serial {serial} was in force: raise the serial")
        )


def _statement(policy: Policy) -> PolicyStatement:
    return PolicyStatement(serial=policy.serial, digest=policy.digest)


def _is_by(token: str, key: PublicKey) -> bool:
    return kid_of(token) == key.kid


def _is_of(token: str, policy: Policy) -> bool:
    return payload_of(token) == _statement(policy).canonical()
