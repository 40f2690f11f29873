"""What fuzzing begins with, made on the spot: honest input, and the collections of strange input that there are."""

import base64
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path

import cryptography_vectors
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from fuzz.der import Node, extensions, read_der, split_der, write_der
from shared.contracts.commands import SubmitRequest
from shared.contracts.statement import UnsignedSubmission
from shared.x509.entered import EnteredValues
from shared.x509.extensions import CertificateExtension
from shared.x509.names import Attribute, SubjectAltNames
from tests import world
from tests.fakes.duties import command
from tests.vectors.x509 import make

_VECTORS = Path(make.__file__).parent
_FOREIGN = Path(cryptography_vectors.__file__).parent / "x509" / "requests"
_KEY_PLACE = 2
_ECDSA = make.sequence(make.oid("1.2.840.10045.4.3.2"))


def messages() -> Iterator[bytes]:
    """Submissions as the clients of `shop` and `portal` send them."""
    for asked in (
        world.content(),
        world.content(
            name="ünï",
            notes="why",
            emails=("a@example.com", "b@example.com"),
            expires_on=(world.NOW + timedelta(days=30)).date(),
            on_behalf_of="alice",
        ),
        world.content(csr=world.make_csr("www.example.net", "*.example.com", O="Other")),
        world.content(
            entered=EnteredValues(
                subject=(Attribute(type="CN", value="www.example.org"),),
                names=SubjectAltNames(dns=("www.example.org",), ip=("192.0.2.1",), email=("a@example.com",)),
                extensions=(CertificateExtension(type="1.2.3.4", critical=True, values=("BQA=",)),),
            )
        ),
        world.content(csr=(_VECTORS / "rsa-2048.csr").read_text()),
    ):
        signed = SubmitRequest(submission=world.submission(asked))
        yield command(signed, by="shop").body
        yield command(SubmitRequest(submission=UnsignedSubmission(content=asked)), by="portal").body


def requests() -> Iterator[bytes]:
    """Certificate requests good and bad, in PEM and in DER."""
    for path in sorted([*_VECTORS.rglob("*.csr"), *_FOREIGN.iterdir()]):
        data = path.read_bytes()
        yield data
        if data.startswith(b"-----"):
            yield _unarmoured(data)


def subjects_and_attributes() -> Iterator[bytes]:
    """Those of the requests, and each extension that there is."""
    for parts in _parts_of_requests():
        yield write_der([parts[1], *parts[3:]])
    for extension in extensions():
        yield make.PLAIN + make.tlv(0xA0, make.asking(extension))


def keys() -> Iterator[bytes]:
    """The keys of the requests, and weak ones."""
    for parts in _parts_of_requests():
        yield write_der(parts[2:3])
    for path in sorted((_VECTORS / "weak").glob("*.pem")):
        yield _unarmoured(path.read_bytes())


def signed(data: bytes) -> bytes:
    """The request, DER, that has this subject and these attributes, signed as it must be; always with the same key."""
    try:
        subject, attributes = split_der(data)
    except ValueError:
        subject, attributes = data, b""
    info = make.sequence(make.integer(0), subject, make.spki(_key().public_key()), attributes)
    signature = _key().sign(info, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return make.sequence(info, _ECDSA, make.tlv(0x03, b"\0", signature))


def unsigned(public: bytes) -> bytes:
    """A request, DER, for this SubjectPublicKeyInfo, with a signature that nobody made."""
    return make.sequence(make.info(public=public), _ECDSA, make.tlv(0x03, b"\0", b"\x01" * 64))


@cache
def _key() -> ec.EllipticCurvePrivateKey:
    """Never made anew: what was found in an earlier run is to be found again."""
    return ec.derive_private_key(0xC0FFEE, ec.SECP256R1())


def _parts_of_requests() -> Iterator[list[Node]]:
    """Version, subject, key and attributes of each request that has them."""
    for data in requests():
        with suppress(ValueError):
            request, *_ = read_der(data)
            info, *_ = request.children
            if len(info.children) > _KEY_PLACE:
                yield info.children


def _unarmoured(pem: bytes) -> bytes:
    _, _, body, *_ = pem.split(b"-----")
    return base64.b64decode(body)
