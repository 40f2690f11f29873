"""Whoever holds a certificate's private key, and what they can sign with it."""

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from shared.contracts import commands
from shared.vocabulary.reasons import RevocationReason
from shared.x509.possession import Holder, PossessionProof, PossessionStatement
from tests.world import NOW


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def proof_of(key: PrivateKeyTypes, name: str, *, by: str = "portal", at: datetime = NOW) -> PossessionProof:
    """That `by` relays now from whoever holds this key, about the certificate of this name."""
    holder = Holder(key)
    said = {"certificate": name, "key": holder.key, "relayed_by": by, "signed_at": int(at.timestamp())}
    return holder.prove(PossessionStatement.model_validate(said))


def proven(
    key: PrivateKeyTypes, name: str, *, reason: RevocationReason = RevocationReason.KEY_COMPROMISE, **signed: object
) -> commands.RevokeCertificate:
    """The command of a stranger who holds this key; the certificate goes by its serial number or its request's id."""
    named = "request_id" if "-" in name else "serial_number"
    proof = proof_of(key, name, **signed)  # type: ignore[arg-type]  # whatever a test wants to be signed
    return commands.RevokeCertificate.model_validate({named: name, "reason": reason, "proof": proof})
