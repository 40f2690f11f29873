"""A proof of possession holds for its key, its certificate, its relay and its moment, and for nothing else."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from shared.x509.possession import Holder, PossessionProof, is_proven
from tests.fakes.holders import new_key, proof_of

KEYS: dict[str, PrivateKeyTypes] = {
    "rsa": rsa.generate_private_key(65_537, 2048),
    "ec": new_key(),
    "p-384": ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ed448": ed448.Ed448PrivateKey.generate(),
    "ml-dsa": mldsa.MLDSA65PrivateKey.generate(),
}


def spki(key: PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_every_kind_of_key_that_signs_proves_itself_and_no_other(key: PrivateKeyTypes) -> None:
    proof = proof_of(key, "0a")
    assert is_proven(spki(key), proof)
    assert PossessionProof.model_validate_json(proof.model_dump_json()) == proof
    for other in KEYS.values():
        assert is_proven(spki(other), proof) is (other is key)


def test_a_signature_in_the_older_way_of_rsa_holds_too() -> None:
    key = KEYS["rsa"]
    assert isinstance(key, rsa.RSAPrivateKey)
    proof = proof_of(key, "0a")
    older = key.sign(proof.statement.signed_bytes, padding.PKCS1v15(), hashes.SHA256())
    assert is_proven(spki(key), proof.model_copy(update={"signature": older}))


@pytest.mark.parametrize(
    "change", [{"certificate": "0b"}, {"relayed_by": "mallory"}, {"signed_at": 1}, {"key": "sha256:" + "0" * 64}]
)
def test_no_word_of_it_can_be_changed(change: dict[str, object]) -> None:
    key = KEYS["ec"]
    proof = proof_of(key, "0a")
    said = proof.statement.model_copy(update=change)
    assert not is_proven(spki(key), proof.model_copy(update={"statement": said}))


def test_the_bare_statement_signed_without_its_context_is_no_proof() -> None:
    key = KEYS["ed25519"]
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    proof = proof_of(key, "0a")
    assert proof.statement.signed_bytes.startswith(b" " * 64 + b"Countersign")
    bare = key.sign(proof.statement.canonical())
    assert not is_proven(spki(key), proof.model_copy(update={"signature": bare}))


def test_what_is_no_key_or_does_not_sign_proves_nothing() -> None:
    proof = proof_of(KEYS["ec"], "0a")
    assert not is_proven(b"", proof)
    exchange = x25519.X25519PrivateKey.generate()
    said = proof.statement.model_copy(update={"key": Holder(exchange).key})
    assert not is_proven(spki(exchange), proof.model_copy(update={"statement": said}))
    with pytest.raises(ValueError, match="does not sign"):
        Holder(exchange).prove(said)


def test_a_holder_reads_a_key_with_or_without_a_passphrase_and_says_when_it_cannot() -> None:
    pem = KEYS["ec"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert Holder.of(pem).key == Holder(KEYS["ec"]).key
    for wrong in (b"", b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"):
        with pytest.raises(ValueError, match=r".+"):
            Holder.of(wrong)
    with pytest.raises(ValueError, match=r"[Pp]assword"):
        Holder.of(pem, b"none is needed")
