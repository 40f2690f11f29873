"""A small world for tests without servers: a policy, everybody's keys, a throw-away CA, and honest evidence."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.contracts.content import RequestContent
from shared.contracts.events import Evidence
from shared.contracts.statement import JwsStatement, RevisionStatement
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import SigningKey, Typ
from shared.evidence.steps import (
    DecidedRevision,
    Decision,
    DecisionKind,
    Decisions,
    Edit,
    Issuance,
    Revision,
    Verdict,
)
from shared.identifiers import new_request_id
from shared.policy.compatibility import Combination, ImportedOrder, ListedIntermediate, ProductFacts
from shared.policy.composition import NOTHING_EDITED, compose
from shared.policy.fitness import last_day
from shared.policy.policy import Policy, parse_policy
from shared.policy.resolution import resolve
from shared.sealing import OpeningKey, seal
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import (
    CertificateId,
    Digest,
    IdentityName,
    OrderId,
    RequestId,
    SigningCertificateName,
)
from shared.x509.entered import EditedValues
from shared.x509.extensions import USAGES
from shared.x509.stand_ins import asked_with

EXAMPLE_POLICY = Path(__file__).parent.parent / "deploy" / "policy" / "policy.toml"
CHOICES = ("signing_certificate", "approval_group", "extension_profile", "dn_profile")
NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)


class FixedClock:
    """A clock that a test sets."""

    def __init__(self, instant: datetime = NOW) -> None:
        self.instant = instant

    def now(self) -> datetime:
        return self.instant

    def advance(self, step: timedelta) -> None:
        self.instant += step


def _name(common_name: str, **others: str) -> x509.Name:
    oids = {"O": NameOID.ORGANIZATION_NAME, "C": NameOID.COUNTRY_NAME, "L": NameOID.LOCALITY_NAME}
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            *(x509.NameAttribute(oids[kind], value) for kind, value in others.items()),
        ]
    )


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)


@dataclass
class Ca:
    """A root and an intermediate that issue what they are told to."""

    root_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.root = self._authority(_name("Test Root"), _name("Test Root"), self.root_key, self.root_key, None)
        self.intermediate = self._authority(
            _name("Test Intermediate"), _name("Test Root"), self.key, self.root_key, path_length=0
        )

    def _authority(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        signer: ec.EllipticCurvePrivateKey,
        path_length: int | None,
    ) -> bytes:
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 1000 * DAY)
            .not_valid_after(NOW + 3000 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(signer, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.DER)

    def issue(self, revision: Revision, *, not_after: datetime | None = None, not_before: datetime = NOW) -> bytes:
        """The certificate that a faithful CA makes of an approved revision."""
        last = last_day(revision.policy, today=not_before.date())
        return self.certify(
            revision.csr,
            revision.names.dns,
            common_name=revision.subject.common_name or "",
            not_before=not_before,
            not_after=not_after or end_of(last),
        )

    def certify(
        self,
        csr: bytes | None,
        dns_names: Sequence[str],
        *,
        common_name: str,
        not_before: datetime,
        not_after: datetime,
    ) -> bytes:
        """A certificate for this CSR's key, with names of the CA's choosing."""
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(common_name, O="Example Ltd"))
            .issuer_name(_name("Test Intermediate"))
            .public_key(x509.load_der_x509_csr(csr or b"").public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before - DAY / 24)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names]), critical=False)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.DER)


def end_of(day: date) -> datetime:
    """The last second of this day."""
    return datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC)


def _usage(**usages: bool) -> x509.KeyUsage:
    return x509.KeyUsage(**dict.fromkeys(USAGES.values(), False) | usages)


@cache
def shared_ca() -> Ca:
    """One CA for the whole test process: keys take time."""
    return Ca()


_KEYS: dict[str, SigningKey] = {}


def signing_key(owner: str) -> SigningKey:
    """The key of a duty or an identity; the same owner has the same key throughout the test process."""
    return _KEYS.setdefault(owner, SigningKey(Ed25519PrivateKey.generate()))


def make_csr(
    *names: str, common_name: str | None = None, key: ec.EllipticCurvePrivateKey | None = None, **subject: str
) -> str:
    """A CSR in PEM for these DNS names."""
    names = names or ("www.example.com",)
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(common_name or names[0], **subject))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    signed = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def policy_text(**replacements: str) -> str:
    """The example policy with this world's keys; each replacement is a piece of text and what takes its place."""
    text = with_own_keys(EXAMPLE_POLICY.read_text())
    for old, new in replacements.items():
        if old not in text:
            raise ValueError(f"the policy has no {old!r}")
        text = text.replace(old, new)
    return text


def with_own_keys(text: str) -> str:
    """This policy with this world's keys."""
    parsed = tomllib.loads(text)
    for owner, table in (*parsed["duties"].items(), *parsed["identities"].items()):
        for key in table.get("keys", ()):
            text = text.replace(key["x"], signing_key(owner).public.x)
    return text


def newer_policy(*changes: tuple[str, str], serial: int = 2) -> str:
    """The text of a policy that comes after the example, with these pieces of text changed."""
    return policy_text(**{"serial = 1": f"serial = {serial}", **dict(changes)})


@cache
def policy(text: str | None = None) -> Policy:
    """A policy in force, by default the example's."""
    ca = shared_ca()
    files = {"intermediate.pem": pem(ca.intermediate), "imported.pem": pem(_imported())}
    return parse_policy((text or policy_text()).encode(), lambda name: files[name])


@cache
def _imported() -> bytes:
    ca = shared_ca()
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name("imported.example.com"))
        .issuer_name(_name("Test Intermediate"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 100 * DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("imported.example.com")]), critical=False)
        .sign(ca.key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.DER)


def combination(policy_now: Policy | None = None) -> Combination:
    """That of the example's signing certificate."""
    return Combination.of(policy_now or policy(), SigningCertificateName("public-tls"))


def product_facts(about: Combination | None = None, *, at: datetime = NOW) -> ProductFacts:
    """What the CA says when everything goes together."""
    about = about or combination()
    return ProductFacts(
        combination=about,
        taken_at=at,
        product_known=True,
        signature_hashes=("sha256", "sha384"),
        allowed_ca_certs=(about.ca_cert_id,),
        several_names=True,
        exact_end=True,
        longest_years=3,
        listed=(
            ListedIntermediate(
                ca_cert_id=about.ca_cert_id, is_ours=True, is_private=about.product.startswith("private_")
            ),
        ),
        imported_order=ImportedOrder(product=about.product, ca_cert_id=about.ca_cert_id),
    )


def in_force() -> PolicyInForce:
    return PolicyInForce(policy())


def content(request_id: RequestId | None = None, *, csr: str | None = None, **others: object) -> RequestContent:
    """What a requester asks for, by default something that is good."""
    fields: dict[str, object] = {
        "request_id": request_id or new_request_id(),
        "name": "the shop's front door",
        "csr": csr or make_csr(),
        "signing_certificate": "public-tls",
        "approval_group": "web",
        "extension_profile": "tls-server",
        "dn_profile": "server",
    }
    return RequestContent.model_validate(fields | others)


PASSWORD = "seven-plums-in-a-windy-orchard"
"""Good enough for everybody."""


@cache
def opening_key() -> OpeningKey:
    """With which the issuer opens sealed passwords."""
    return OpeningKey.generate()


def generating_policy(*changes: tuple[str, str], own: bool = True) -> str:
    """The text of the example policy, whose issuer makes key pairs, too, with these pieces of text changed."""
    keys = (
        f'[[opening_keys]]\nkey = {{ kty = "OKP", crv = "X25519", x = "{opening_key().public.x}" }}\n\n[duties.intake]'
    )
    methods = 'enrollment_methods = ["csr", "generated"]'
    made = {"[duties.intake]": keys, 'enrollment_methods = ["csr"]': methods}
    text = policy_text(**made)
    if own:
        text = text.replace("serial = 1\n", "serial = 1\noperated_by_subscriber = true\n", 1)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def wanting(
    request_id: RequestId | None = None,
    *,
    key_type: str = "ecdsa-p256",
    password: str = PASSWORD,
    sealed: str | None = None,
    pkcs12: str = "pbes2-aes-256",
    **others: object,
) -> RequestContent:
    """What a requester asks for who leaves the key pair to the issuer, by default something that is good."""
    request_id = request_id or new_request_id()
    fields: dict[str, object] = {
        "request_id": request_id,
        "name": "the shop's back door",
        "method": "generated",
        "generated": {
            "key_type": key_type,
            "sealed_password": sealed or seal(password, request_id, opening_key().public),
            "pkcs12": pkcs12,
        },
        "entered": {
            "subject": [{"type": "CN", "value": "www.example.com"}],
            "names": {"dns": ["www.example.com"]},
        },
        "signing_certificate": "public-tls",
        "approval_group": "web",
        "extension_profile": "tls-server",
        "dn_profile": "server",
    }
    return RequestContent.model_validate(fields | others)


def submission(asked: RequestContent, *, by: str = "shop", at: datetime = NOW) -> JwsStatement:
    return JwsStatement(jws=signing_key(by).sign(asked.canonical(), Typ.SUBMISSION, at))


def revision_of(
    asked: RequestContent,
    policy_now: Policy,
    *,
    requesters: Sequence[str] = ("shop",),
    edited: EditedValues = NOTHING_EDITED,
) -> Revision:
    """The revision that an honest intake makes of this content."""
    csr = asked_with(asked.csr, asked.wanted_key_type)
    resolved = resolve(
        policy_now,
        signing_certificate=asked.signing_certificate,
        approval_group=asked.approval_group,
        extension_profile=asked.extension_profile,
        dn_profile=asked.dn_profile,
        generated=asked.generated is not None,
    )
    composed = compose(csr, asked.entered, resolved, edited)
    return Revision(
        request_id=asked.request_id,
        number=1,
        submission=digest_of(asked.canonical()),
        predecessor=None,
        requesters=tuple(IdentityName(name) for name in requesters),
        name=asked.name,
        method=asked.method,
        csr=None if asked.csr is None else csr.der,
        public_key=None if asked.csr is None else csr.spki_sha256,
        generated=asked.generated,
        subject=composed.subject,
        names=composed.names,
        extensions=composed.extensions,
        expires_on=asked.expires_on,
        notes=asked.notes,
        emails=asked.emails,
        policy_digest=policy_now.digest,
        policy=resolved,
        findings=(),
    )


def decision(
    revision: Digest,
    request_id: RequestId,
    *,
    by: str,
    kind: DecisionKind = DecisionKind.APPROVE,
    at: datetime = NOW,
    note: str = "",
    signer: str | None = None,
) -> JwsStatement:
    """A signed decision; `signer` lends another's key."""
    said = Decision(request_id=request_id, revision=revision, decision=kind, approver=IdentityName(by), note=note)
    return JwsStatement(jws=signing_key(signer or by).sign(said.canonical(), Typ.DECISION, at))


def decisions(
    revisions: Mapping[RequestId, Digest],
    *,
    by: str,
    kind: DecisionKind = DecisionKind.APPROVE,
    at: datetime = NOW,
    note: str = "",
    signer: str | None = None,
    typ: Typ = Typ.DECISIONS,
) -> JwsStatement:
    """Decisions on several requests under one signature."""
    named = tuple(DecidedRevision(request_id=each, revision=digest) for each, digest in revisions.items())
    said = Decisions(requests=named, decision=kind, approver=IdentityName(by), note=note)
    return JwsStatement(jws=signing_key(signer or by).sign(said.canonical(), typ, at))


def verdict(
    revision: Digest,
    request_id: RequestId,
    decisions: Sequence[JwsStatement],
    *,
    at: datetime = NOW,
    sequence: int = 2,
) -> str:
    from shared.evidence.jws import payload_of  # noqa: PLC0415 - only verdicts need it

    said = Verdict(
        request_id=request_id,
        revision=revision,
        sequence=sequence,
        decisions=tuple(digest_of(payload_of(statement.jws)) for statement in decisions),
        policy_digest=digest_of(b"policy"),
    )
    return signing_key(Duty.APPROVAL).sign(said.canonical(), Typ.VERDICT, at)


@dataclass(frozen=True)
class Approved:
    """An honest chain up to the verdict."""

    evidence: Evidence
    revision: Revision
    digest: Digest


def accepted(asked: RequestContent | None = None, *, at: datetime = NOW, revision: Revision | None = None) -> Approved:
    """An honest chain up to intake's revision, by default the one that follows from the policy."""
    asked = asked or content()
    revision = revision or revision_of(asked, policy())
    token = signing_key(Duty.INTAKE).sign(revision.canonical(), Typ.REVISION, at)
    evidence = Evidence(submission=submission(asked, at=at), revisions=(RevisionStatement(jws=token),))
    return Approved(evidence, revision, digest_of(revision.canonical()))


def renewed(
    begun: Approved, policy_now: Policy, *, at: datetime = NOW, signer: str = Duty.APPROVAL, **changes: object
) -> Approved:
    """What an honest approval makes of it when this policy comes into force; `changes` are those of a dishonest one."""
    former = begun.revision
    choices = {name: getattr(former.policy, name) for name in CHOICES}
    update = {
        "number": former.number + 1,
        "predecessor": begun.digest,
        "policy": resolve(policy_now, **choices),
        "policy_digest": policy_now.digest,
    }
    revision = former.model_copy(update=update | changes)
    token = signing_key(signer).sign(revision.canonical(), Typ.REVISION, at)
    revisions = (*begun.evidence.revisions, RevisionStatement(jws=token))
    evidence = begun.evidence.model_copy(update={"revisions": revisions, "decisions": (), "verdict": None})
    return Approved(evidence, revision, digest_of(revision.canonical()))


def edit(
    begun: Approved, *, by: str = "carol", signer: str | None = None, at: datetime = NOW, **says: object
) -> JwsStatement:
    """An edit of what was begun, which says this and leaves the rest as it is; `signer` lends another's key."""
    said = editable(begun) | {"request_id": begun.revision.request_id, "predecessor": begun.digest, "editor": by}
    payload = Edit.model_validate(said | says).canonical()
    return JwsStatement(jws=signing_key(signer or by).sign(payload, Typ.EDIT, at))


def editable(begun: Approved) -> dict[str, object]:
    """What of this an edit says anew when it changes nothing."""
    from shared.evidence.revisions import link_of, values_of  # noqa: PLC0415 - only edits need it

    edits = [link_of(statement).edit for statement in begun.evidence.revisions]
    revision, latest = begun.revision, next((each for each in reversed(edits) if each is not None), None)
    same = {name: getattr(revision, name) for name in ("name", "expires_on", "notes", "emails")}
    return same | {"extension_profile": revision.policy.extension_profile, "entered": values_of(latest)}


def edited(
    begun: Approved,
    policy_now: Policy | None = None,
    *,
    by: str = "carol",
    at: datetime = NOW,
    statement: JwsStatement | None = None,
    changes: Mapping[str, object] | None = None,
    signer: str = Duty.APPROVAL,
    **says: object,
) -> Approved:
    """What an honest approval makes of an edit; `changes` are those that a dishonest one makes to the revision."""
    from shared.evidence.jws import payload_of  # noqa: PLC0415 - only edits need it
    from shared.evidence.revisions import content_after  # noqa: PLC0415

    statement = statement or edit(begun, by=by, at=at, **says)  # type: ignore[arg-type]  # fields of an edit
    said = Edit.read(payload_of(statement.jws), code="a.b")
    submitted = begun.evidence.submission
    assert isinstance(submitted, JwsStatement)
    asked = RequestContent.read(payload_of(submitted.jws), code="a.b")
    known = (policy_now or policy()).identity(said.editor)
    person = known.person if known else None
    former, holds = begun.revision, revision_of(content_after(asked, said), policy_now or policy(), edited=said.entered)
    update = {
        "number": former.number + 1,
        "submission": former.submission,
        "predecessor": begun.digest,
        "requesters": former.requesters,
        "edit": digest_of(payload_of(statement.jws)),
        "editors": tuple(dict.fromkeys((*former.editors, said.editor))),
        "editor_people": tuple(dict.fromkeys((*former.editor_people, person or said.editor))),
    }
    revision = holds.model_copy(update=update | dict(changes or {}))
    token = signing_key(signer).sign(revision.canonical(), Typ.REVISION, at)
    revisions = (*begun.evidence.revisions, RevisionStatement(jws=token, edit=statement))
    evidence = begun.evidence.model_copy(update={"revisions": revisions, "decisions": (), "verdict": None})
    return Approved(evidence, revision, digest_of(revision.canonical()))


def judged(begun: Approved, *, by: Sequence[str] = ("alice", "ben"), at: datetime = NOW, sequence: int = 2) -> Approved:
    """With the decisions of these approvers, and approval's verdict on them."""
    request_id = begun.revision.request_id
    decisions = tuple(decision(begun.digest, request_id, by=name, at=at) for name in by)
    token = verdict(begun.digest, request_id, decisions, at=at, sequence=sequence)
    return replace(begun, evidence=begun.evidence.model_copy(update={"decisions": decisions, "verdict": token}))


def approved(
    asked: RequestContent | None = None, *, by: Sequence[str] = ("alice", "ben"), at: datetime = NOW
) -> Approved:
    """An honest chain up to the verdict, approved by these identities."""
    return judged(accepted(asked, at=at), by=by, at=at)


def issued(
    asked: RequestContent | None = None,
    *,
    at: datetime = NOW,
    policy_renewed: Policy | None = None,
    edited_by: str | None = None,
) -> Approved:
    """An honest chain up to the certificate, if need be edited, or renewed, before it was approved."""
    from shared.evidence.file import last_day_of  # noqa: PLC0415 - only whole chains need it
    from shared.evidence.jws import payload_of  # noqa: PLC0415 - only whole chains need it

    begun = accepted(asked, at=at)
    begun = begun if edited_by is None else edited(begun, by=edited_by, at=at, name="as it was edited")
    begun = judged(begun if policy_renewed is None else renewed(begun, policy_renewed, at=at), at=at)
    ca = shared_ca()
    said = Issuance(
        request_id=begun.revision.request_id,
        revision=begun.digest,
        verdict=digest_of(payload_of(begun.evidence.verdict or "")),
        outcome="issued",
        order_id=OrderId(1),
        certificate_id=CertificateId(2),
        alternative_order_id="a",
        chain=(ca.issue(begun.revision, not_before=at), ca.intermediate, ca.root),
        ordered_on=at.date(),
        expires_on=last_day_of(begun.revision, ordered_on=at.date()),
        policy_digest=digest_of(b"policy"),
    )
    token = signing_key(Duty.ISSUER).sign(said.canonical(), Typ.ISSUANCE, at)
    return Approved(begun.evidence.model_copy(update={"issuance": token}), begun.revision, begun.digest)


TODAY: date = NOW.date()
