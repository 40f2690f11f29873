"""The recipe of the requests in this folder: `python -m tests.vectors.x509.make` writes them anew.

Every request is valid DER with a valid signature except for what its name says, so that each of them is
refused, or accepted, for that reason alone. The keys are random and thrown away; `expected.json` names, for
each file, the code of the finding with which `parse_csr` refuses it, or null where it is accepted.
"""

import base64
import json
import textwrap
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FOLDER = Path(__file__).parent
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey


def tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def sequence(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def oid(dotted: str) -> bytes:
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    body = b""
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        body += bytes(reversed(groups))
    return tlv(0x06, body)


def attribute(dotted: str, value: bytes, tag: int = 0x0C) -> bytes:
    return sequence(oid(dotted), tlv(tag, value))


CN, O, C = "2.5.4.3", "2.5.4.10", "2.5.4.6"  # noqa: E741 - the names that X.520 gives them


def subject(*rdns: bytes) -> bytes:
    return sequence(*(tlv(0x31, rdn) for rdn in rdns))


def dns(name: bytes) -> bytes:
    return tlv(0x82, name)


def alternative_names(*names: bytes) -> bytes:
    return sequence(oid("2.5.29.17"), tlv(0x04, sequence(*names)))


def asking(*extensions: bytes, number: str = "1.2.840.113549.1.9.14") -> bytes:
    return sequence(oid(number), tlv(0x31, sequence(*extensions)))


def spki(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign(key: Key, data: bytes) -> tuple[bytes, bytes]:
    match key:
        case rsa.RSAPrivateKey():
            algorithm = sequence(oid("1.2.840.113549.1.1.11"), b"\x05\x00")
            return algorithm, key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        case ec.EllipticCurvePrivateKey():
            return sequence(oid("1.2.840.10045.4.3.2")), key.sign(data, ec.ECDSA(hashes.SHA256()))
        case dsa.DSAPrivateKey():
            return sequence(oid("2.16.840.1.101.3.4.3.2")), key.sign(data, hashes.SHA256())
        case _:
            return sequence(oid("1.3.101.112")), key.sign(data)


PLAIN = subject(attribute(O, b"Example"), attribute(CN, b"www.example.com"))
WEB = asking(alternative_names(dns(b"www.example.com")))
P256 = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def info(name: bytes = PLAIN, public: bytes | None = None, attributes: bytes = WEB, version: int = 0) -> bytes:
    return sequence(integer(version), name, public or spki(P256.public_key()), tlv(0xA0, attributes))


def request(
    key: Key = P256,
    *,
    name: bytes = PLAIN,
    public: bytes | None = None,
    attributes: bytes = WEB,
    version: int = 0,
) -> bytes:
    signed = info(name, public or spki(key.public_key()), attributes, version)
    algorithm, signature = sign(key, signed)
    return sequence(signed, algorithm, tlv(0x03, b"\0", signature))


def with_algorithm(dotted: str, signature: bytes = b"\x01" * 64) -> bytes:
    return sequence(info(), sequence(oid(dotted)), tlv(0x03, b"\0", signature))


def rsa_request(bits: int, exponent: int = 65537) -> bytes:
    return request(rsa.generate_private_key(exponent, bits))


def ec_public(parameters: bytes, point: bytes) -> bytes:
    return sequence(sequence(oid("1.2.840.10045.2.1"), parameters), tlv(0x03, b"\0", point))


def point(form: PublicFormat) -> bytes:
    return P256.public_key().public_bytes(Encoding.X962, form)


def explicit_curve() -> bytes:
    """P-256 spelled out (RFC 3279 §2.3.5), which RFC 5480 §2.1.1 forbids, its generator compressed."""
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    generator = bytes.fromhex("036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")
    curve = sequence(tlv(0x04, (prime - 3).to_bytes(32, "big")), tlv(0x04, b.to_bytes(32, "big")))
    field = sequence(oid("1.2.840.10045.1.1"), integer(prime))
    return sequence(integer(1), field, curve, tlv(0x04, generator), integer(order), integer(1))


def rsa_sha1() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    signed = info(public=spki(key.public_key()))
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - the broken hash is the point
    return sequence(signed, sequence(oid("1.2.840.113549.1.1.5"), b"\x05\x00"), tlv(0x03, b"\0", signature))


def rsa_public(modulus: int, exponent: int) -> bytes:
    numbers = sequence(integer(modulus), integer(exponent))
    return sequence(sequence(oid("1.2.840.113549.1.1.1"), b"\x05\x00"), tlv(0x03, b"\0", numbers))


def rsa_exponent_one() -> bytes:
    """With exponent 1 anybody can sign: the padded hash is its own signature."""
    signed = info(public=rsa_public(2**2048 - 1, 1))
    digest = hashes.Hash(hashes.SHA256())
    digest.update(signed)
    hashed = sequence(sequence(oid("2.16.840.1.101.3.4.2.1"), b"\x05\x00"), tlv(0x04, digest.finalize()))
    padded = b"\0\1" + b"\xff" * (256 - 3 - len(hashed)) + b"\0" + hashed
    return sequence(signed, sequence(oid("1.2.840.113549.1.1.11"), b"\x05\x00"), tlv(0x03, b"\0", padded))


def flipped(der: bytes) -> bytes:
    return der.replace(b"www.example.com", b"www.example.org")


def named(*names: bytes) -> bytes:
    return request(attributes=asking(alternative_names(*names)))


def cn(value: bytes, tag: int = 0x0C) -> bytes:
    return request(name=subject(attribute(CN, value, tag)))


ACCEPTED = None
UNREADABLE, KEY, SIGNATURE = "csr.unreadable", "csr.key-unsupported", "csr.signature-invalid"
EXTENSIONS, KIND, UNFIT = "csr.extensions-unreadable", "csr.name-kind-unsupported", "name.attribute-unfit"
PASSWORD = sequence(oid("1.2.840.113549.1.9.7"), tlv(0x31, tlv(0x0C, b"secret")))
MICROSOFT = asking(alternative_names(dns(b"a.example.com")), number="1.3.6.1.4.1.311.2.1.14")
OTHER_NAME = tlv(0xA0, oid("1.3.6.1.4.1.311.20.2.3"), tlv(0xA0, tlv(0x0C, b"jane@example.com")))


def vectors() -> dict[str, tuple[bytes, str | None]]:
    return {
        "rsa-1024": (rsa_request(1024), ACCEPTED),
        "rsa-2047": (rsa_request(2047), ACCEPTED),
        "rsa-2048": (rsa_request(2048), ACCEPTED),
        "rsa-3072": (rsa_request(3072), ACCEPTED),
        "rsa-exponent-3": (rsa_request(2048, 3), ACCEPTED),
        "rsa-exponent-1": (rsa_exponent_one(), KEY),
        "rsa-exponent-even": (request(public=rsa_public(2**2048 - 1, 65536)), KEY),
        "rsa-modulus-zero": (request(public=rsa_public(0, 65537)), KEY),
        "rsa-16384": (request(public=rsa_public(2**16384 - 1, 65537)), KEY),
        "rsa-sha1": (rsa_sha1(), SIGNATURE),
        "ec-p192": (request(ec.generate_private_key(ec.SECP192R1())), ACCEPTED),
        "ec-p256": (request(), ACCEPTED),
        "ec-p384": (request(ec.generate_private_key(ec.SECP384R1())), ACCEPTED),
        "ec-p521": (request(ec.generate_private_key(ec.SECP521R1())), ACCEPTED),
        "ec-secp256k1": (request(ec.generate_private_key(ec.SECP256K1())), ACCEPTED),
        "ec-p256-compressed": (
            request(public=ec_public(oid("1.2.840.10045.3.1.7"), point(PublicFormat.CompressedPoint))),
            ACCEPTED,
        ),
        "ec-explicit-curve": (
            request(public=ec_public(explicit_curve(), point(PublicFormat.UncompressedPoint))),
            KEY,
        ),
        "ec-not-on-curve": (request(public=ec_public(oid("1.2.840.10045.3.1.7"), b"\4" + b"\1" * 64)), KEY),
        "ec-at-infinity": (request(public=ec_public(oid("1.2.840.10045.3.1.7"), b"\0")), KEY),
        "ed25519": (request(ED), ACCEPTED),
        "dsa": (request(dsa.generate_private_key(2048)), KEY),
        "x25519": (request(public=spki(x25519.X25519PrivateKey.generate().public_key())), KEY),
        "signature-of-another-key": (request(public=spki(ED.public_key())), SIGNATURE),
        "signature-over-other-names": (flipped(request()), SIGNATURE),
        "signature-algorithm-unknown": (with_algorithm("1.2.3.4"), SIGNATURE),
        "signature-empty": (with_algorithm("1.2.840.10045.4.3.2", b""), SIGNATURE),
        "version-negative": (request(version=-1), UNREADABLE),
        "version-2": (request(version=2), UNREADABLE),
        "trailing-bytes": (request() + b"\0", UNREADABLE),
        "truncated": (request()[:-1], UNREADABLE),
        "subject-empty": (request(name=subject()), ACCEPTED),
        "subject-bad-utf8": (cn(b"\xc3\x28"), UNREADABLE),
        "subject-newline": (cn(b"a\nb"), UNREADABLE),
        "subject-bidi-override": (cn("a\u202eb".encode()), UNREADABLE),
        "subject-too-long": (cn(b"a" * 65), UNFIT),
        "subject-teletex": (cn(b"caf\xe9", tag=0x14), UNREADABLE),
        "subject-odd-bmp": (cn(b"\0a\0", tag=0x1E), UNREADABLE),
        "subject-country-of-three": (request(name=subject(attribute(C, b"GBR", 0x13))), UNFIT),
        "subject-multi-valued": (request(name=subject(attribute(CN, b"a") + attribute(O, b"b"))), UNREADABLE),
        "subject-is-a-number": (request(name=subject(sequence(oid(CN), integer(7)))), UNREADABLE),
        "attributes-empty": (request(attributes=b""), ACCEPTED),
        "attributes-garbage": (request(attributes=b"\x30\x03\x02\x01\x05"), UNREADABLE),
        "challenge-password": (request(attributes=PASSWORD + WEB), ACCEPTED),
        "extensions-asked-twice": (request(attributes=MICROSOFT + WEB), EXTENSIONS),
        "extensions-microsoft": (request(attributes=MICROSOFT), ACCEPTED),
        "extension-twice": (
            request(
                attributes=asking(alternative_names(dns(b"a.example.com")), alternative_names(dns(b"b.example.com")))
            ),
            EXTENSIONS,
        ),
        "extension-garbage": (
            request(attributes=asking(sequence(oid("2.5.29.17"), tlv(4, b"\xff")))),
            EXTENSIONS,
        ),
        "extension-unknown": (
            request(attributes=asking(sequence(oid("1.2.3.4"), tlv(4, b"\xff")))),
            ACCEPTED,
        ),
        "names-250": (named(*(dns(b"h%03d.example.com" % n) for n in range(250))), ACCEPTED),
        "names-251": (named(*(dns(b"h%03d.example.com" % n) for n in range(251))), "csr.too-many-names"),
        "names-of-all-kinds": (
            named(
                dns(b"WWW.Example.com."),
                tlv(0x87, bytes([192, 0, 2, 1])),
                tlv(0x87, bytes.fromhex("20010db8000000000000000000000001")),
                tlv(0x81, b"Jane@EXAMPLE.com"),
                tlv(0x86, b"https://example.com/"),
            ),
            ACCEPTED,
        ),
        "name-other": (named(OTHER_NAME), None),
        "name-directory": (named(tlv(0xA4, PLAIN)), KIND),
        "name-registered-id": (named(tlv(0x88, b"\x2a\x03\x04")), KIND),
        "name-network": (named(tlv(0x87, bytes([192, 0, 2, 0, 255, 255, 255, 0]))), KIND),
        "name-ip-of-five-bytes": (named(tlv(0x87, b"12345")), EXTENSIONS),
        "name-email-newline": (named(tlv(0x81, b"a@example.com\nb")), EXTENSIONS),
        "name-not-ascii": (named(dns(b"\xff\xfe.example.com")), EXTENSIONS),
        "name-empty": (named(dns(b"")), EXTENSIONS),
    }


def main() -> None:
    expected = {}
    for name, (der, code) in vectors().items():
        body = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
        text = f"-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n"
        (FOLDER / f"{name}.csr").write_text(text)
        expected[name] = code
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
