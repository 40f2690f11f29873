"""The recipes of the requests in `csrs/`: `python -m tests.golden.recipes` writes those that are missing or changed.

What a CSR asks for stands in its case. Each is well-formed and signed by its own key, which is random and thrown away;
that it holds what its recipe says, byte for byte between key and signature, is shown by a test.

    key         one of `KEYS`; `ecdsa-p256` where nothing is said
    hash        of its signature: sha256, or sha1, or with RSA md5
    subject     `TYPE=VALUE` in the order of the certificate; the type is a short name or an OID
    names       `KIND:NAME`, as a subjectAltName extension
    extensions  `[critical ]TYPE: VALUES`; the values of an OID are its DER in hexadecimal digits
    requests    the same two again and again, an extensionRequest attribute for each; `microsoft = true` takes
                Microsoft's number for it
    together    all of these as the values of one attribute
    challenge   a challengePassword, which means nothing here
"""

import base64
import hashlib
import ipaddress
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gmpy2  # type: ignore[import-untyped]  # it comes with badkeys and has no types
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.vectors.x509 import make_weak
from tests.vectors.x509.make import attribute, info, oid, rsa_public, sequence, subject, tlv

Recipe = Mapping[str, Any]

UTF8, PRINTABLE, IA5 = 0x0C, 0x13, 0x16
ATTRIBUTES = {
    "CN": ("2.5.4.3", UTF8),
    "serialNumber": ("2.5.4.5", PRINTABLE),
    "C": ("2.5.4.6", PRINTABLE),
    "L": ("2.5.4.7", UTF8),
    "ST": ("2.5.4.8", UTF8),
    "O": ("2.5.4.10", UTF8),
    "OU": ("2.5.4.11", UTF8),
    "title": ("2.5.4.12", UTF8),
    "UID": ("0.9.2342.19200300.100.1.1", UTF8),
    "DC": ("0.9.2342.19200300.100.1.25", IA5),
    "emailAddress": ("1.2.840.113549.1.9.1", IA5),
}
"""OID and string type (RFC 5280, appendix A); any other attribute is UTF-8."""
EXTENSIONS = {
    "keyUsage": "2.5.29.15",
    "subjectAltName": "2.5.29.17",
    "basicConstraints": "2.5.29.19",
    "certificatePolicies": "2.5.29.32",
    "extendedKeyUsage": "2.5.29.37",
}
USAGES = (
    *("digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement"),
    *("keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"),
)
PURPOSES = {
    "serverAuth": "1.3.6.1.5.5.7.3.1",
    "clientAuth": "1.3.6.1.5.5.7.3.2",
    "codeSigning": "1.3.6.1.5.5.7.3.3",
    "emailProtection": "1.3.6.1.5.5.7.3.4",
    "OCSPSigning": "1.3.6.1.5.5.7.3.9",
    "anyExtendedKeyUsage": "2.5.29.37.0",
}
PKCS9, MICROSOFT = "1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14"
CHALLENGE = "1.2.840.113549.1.9.7"
UPN = "1.3.6.1.4.1.311.20.2.3"
TRUE = b"\x01\x01\xff"
NULL = b"\x05\x00"

# --- keys ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A key's SubjectPublicKeyInfo, and what it makes of data and a hash: AlgorithmIdentifier and signature."""

    spki: bytes
    sign: Callable[[bytes, str], tuple[bytes, bytes]]


RSA_ALGORITHMS = {
    "md5": ("1.2.840.113549.1.1.4", "1.2.840.113549.2.5"),
    "sha1": ("1.2.840.113549.1.1.5", "1.3.14.3.2.26"),
    "sha256": ("1.2.840.113549.1.1.11", "2.16.840.1.101.3.4.2.1"),
}
"""By hash: the OID of the signature's algorithm, and the hash's own."""


ECDSA_ALGORITHMS: Mapping[str, tuple[str, hashes.HashAlgorithm]] = {
    "sha1": ("1.2.840.10045.4.1", hashes.SHA1()),  # noqa: S303 - the broken hash is the point
    "sha256": ("1.2.840.10045.4.3.2", hashes.SHA256()),
}


def _rsa_key(first: int, second: int, exponent: int = 65537, private: int | None = None) -> Key:
    """A key that signs in plain arithmetic: no library would do it with such primes."""
    modulus = first * second
    size = (modulus.bit_length() + 7) // 8
    signing = private or pow(exponent, -1, (first - 1) * (second - 1))

    def sign(data: bytes, name: str) -> tuple[bytes, bytes]:
        algorithm, number = RSA_ALGORITHMS[name]
        hashed = sequence(sequence(oid(number), NULL), tlv(0x04, hashlib.new(name, data).digest()))
        padded = b"\0\1" + b"\xff" * (size - 3 - len(hashed)) + b"\0" + hashed
        signature = int(gmpy2.powmod(int.from_bytes(padded), signing, modulus))
        return sequence(oid(algorithm), NULL), signature.to_bytes(size)

    return Key(rsa_public(modulus, exponent), sign)


def _rsa(bits: int, exponent: int = 65537) -> Key:
    numbers = rsa.generate_private_key(exponent, bits).private_numbers()
    return _rsa_key(numbers.p, numbers.q, exponent, numbers.d)


def _ecdsa(curve: ec.EllipticCurve) -> Key:
    key = ec.generate_private_key(curve)

    def sign(data: bytes, name: str) -> tuple[bytes, bytes]:
        number, algorithm = ECDSA_ALGORITHMS[name]
        return sequence(oid(number)), key.sign(data, ec.ECDSA(algorithm))

    return Key(_spki(key), sign)


def _hashing_itself(
    key: ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey | mldsa.MLDSA65PrivateKey, number: str
) -> Key:
    return Key(_spki(key), lambda data, _: (sequence(oid(number)), key.sign(data)))


def _dsa() -> Key:
    key = dsa.generate_private_key(2048)
    algorithm = sequence(oid("2.16.840.1.101.3.4.3.2"))
    return Key(_spki(key), lambda data, _: (algorithm, key.sign(data, hashes.SHA256())))


def _spki(key: Any) -> bytes:
    found: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found


def _small_private() -> Key:
    """A short private exponent (Wiener), and so a public one as long as the modulus."""
    first, second, private = make_weak.random_prime(), make_weak.random_prime(), make_weak.random_prime(256)
    return _rsa_key(first, second, pow(private, -1, (first - 1) * (second - 1)), private)


def _small_order() -> Key:
    """The neutral element: it is the first half of a signature, too, and the second is zero."""
    neutral = (1).to_bytes(32, "little")
    algorithm = sequence(oid("1.3.101.112"))
    return Key(sequence(algorithm, tlv(0x03, b"\0", neutral)), lambda _, __: (algorithm, neutral + bytes(32)))


KEYS: Mapping[str, Callable[[], Key]] = {
    "ecdsa-p256": lambda: _ecdsa(ec.SECP256R1()),
    "ecdsa-p384": lambda: _ecdsa(ec.SECP384R1()),
    "ecdsa-p521": lambda: _ecdsa(ec.SECP521R1()),
    "ecdsa-p224": lambda: _ecdsa(ec.SECP224R1()),
    "ecdsa-brainpool": lambda: _ecdsa(ec.BrainpoolP256R1()),
    "ecdsa-secp256k1": lambda: _ecdsa(ec.SECP256K1()),
    "ed25519": lambda: _hashing_itself(ed25519.Ed25519PrivateKey.generate(), "1.3.101.112"),
    "ed25519-of-small-order": _small_order,
    "ed448": lambda: _hashing_itself(ed448.Ed448PrivateKey.generate(), "1.3.101.113"),
    "ml-dsa-65": lambda: _hashing_itself(mldsa.MLDSA65PrivateKey.generate(), "2.16.840.1.101.3.4.3.18"),
    "dsa": _dsa,
    "rsa-2048": lambda: _rsa(2048),
    "rsa-3072": lambda: _rsa(3072),
    "rsa-4096": lambda: _rsa(4096),
    "rsa-1024": lambda: _rsa(1024),
    "rsa-2047": lambda: _rsa(2047),
    "rsa-2056": lambda: _rsa(2056),
    "rsa-exponent-3": lambda: _rsa(2048, 3),
    "rsa-exponent-17": lambda: _rsa_key(make_weak.random_prime(), make_weak.random_prime(), 17),
    "rsa-roca": lambda: _rsa_key(make_weak.roca_prime(), make_weak.roca_prime()),
    "rsa-fermat-close": lambda: _rsa_key(*make_weak.close_primes()),
    "rsa-small-factor": lambda: _rsa_key(65521, make_weak.random_prime(2048 - 16)),
    "rsa-zero-pattern": lambda: _rsa_key(make_weak.sparse_prime(), make_weak.sparse_prime()),
    "rsa-small-private-exponent": _small_private,
}

FAMILIES = {
    "rsa": oid("1.2.840.113549.1.1.1"),
    "ecdsa": oid("1.2.840.10045.2.1"),
    "dsa": oid("1.2.840.10040.4.1"),
    "ed25519": oid("1.3.101.112"),
    "ed448": oid("1.3.101.113"),
    "ml": oid("2.16.840.1.101.3.4.3.18"),
}
"""The algorithm of a key, by what its name begins with."""

# --- what a request asks for --------------------------------------------------------------------------------------


def signed_part(recipe: Recipe, spki: bytes) -> bytes:
    """The CertificationRequestInfo (RFC 2986 §4.1) for this key, DER."""
    name = subject(*(_attribute(text) for text in recipe.get("subject", ())))
    return info(name, spki, b"".join(_attributes(recipe)))


def _attribute(text: str) -> bytes:
    kind, _, value = text.partition("=")
    number, tag = ATTRIBUTES.get(kind, (kind, UTF8))
    return attribute(number, value.encode(), tag)


def _attributes(recipe: Recipe) -> list[bytes]:
    requests = recipe.get("requests", [recipe])
    asked = [(request, _extensions(request)) for request in requests]
    values = [sequence(*extensions) for _, extensions in asked if extensions]
    found = []
    if "challenge" in recipe:
        found.append(sequence(oid(CHALLENGE), tlv(0x31, tlv(UTF8, recipe["challenge"].encode()))))
    if recipe.get("together"):
        return [*found, sequence(oid(PKCS9), tlv(0x31, *values))]
    numbers = [MICROSOFT if request.get("microsoft") else PKCS9 for request, extensions in asked if extensions]
    return [*found, *(sequence(oid(number), tlv(0x31, value)) for number, value in zip(numbers, values, strict=True))]


def _extensions(recipe: Recipe) -> list[bytes]:
    names = [_extension("subjectAltName", recipe["names"])] if "names" in recipe else []
    return [*names, *(_read_extension(each) for text in recipe.get("extensions", ()) for each in repeated(text))]


def _read_extension(text: str) -> bytes:
    kind, _, values = text.removeprefix("critical ").partition(":")
    return _extension(kind, values.split(), critical=text.startswith("critical "))


def _extension(kind: str, values: Iterable[str], *, critical: bool = False) -> bytes:
    number = oid(EXTENSIONS.get(kind, kind))
    return sequence(number, TRUE if critical else b"", tlv(0x04, content_of(kind, values)))


def content_of(kind: str, values: Iterable[str]) -> bytes:
    """The DER inside of an extension that holds these values."""
    return _CONTENT.get(kind, _hexadecimal)(values)


def _key_usage(values: Iterable[str]) -> bytes:
    bits = sum(1 << (15 - USAGES.index(value)) for value in values)
    unused = next((place for place in range(16) if bits >> place & 1), 16)
    content = bits.to_bytes(2)[: 2 - unused // 8]
    return tlv(0x03, bytes([unused % 8]), content)


def _purposes(values: Iterable[str]) -> bytes:
    return sequence(*(oid(PURPOSES.get(value, value)) for value in values))


def _constraints(values: Iterable[str]) -> bytes:
    given = dict(value.split("=") for value in values)
    length = tlv(0x02, bytes([int(given["path"])])) if "path" in given else b""
    return sequence(TRUE if given["CA"] == "TRUE" else b"", length)


def _policies(values: Iterable[str]) -> bytes:
    return sequence(*(sequence(oid(value)) for value in values))


def _names(values: Iterable[str]) -> bytes:
    return sequence(*(_name(*each.split(":", 1)) for value in values for each in repeated(value)))


def repeated(text: str) -> list[str]:
    """The text itself, or what `h[100].example.com` stands for: h0.example.com, h1.example.com and so on up to h99."""
    before, _, rest = text.partition("[")
    count, _, after = rest.partition("]")
    return [f"{before}{number}{after}" for number in range(int(count))] if count.isdigit() else [text]


def _name(kind: str, value: str) -> bytes:
    match kind:
        case "dns":
            return tlv(0x82, value.encode())
        case "ip":
            return tlv(0x87, ipaddress.ip_address(value).packed)
        case "email":
            return tlv(0x81, value.encode())
        case "uri":
            return tlv(0x86, value.encode())
        case "upn":
            return tlv(0xA0, oid(UPN), tlv(0xA0, tlv(UTF8, value.encode())))
        case _:
            raise ValueError(f"{kind} is no kind of name")


def _hexadecimal(values: Iterable[str]) -> bytes:
    """Such as `0500`, or `00*17000` for as many bytes of zero."""
    parts = (value.partition("*") for value in values)
    return b"".join(bytes.fromhex(digits) * int(count or 1) for digits, _, count in parts)


_CONTENT: Mapping[str, Callable[[Iterable[str]], bytes]] = {
    "keyUsage": _key_usage,
    "extendedKeyUsage": _purposes,
    "basicConstraints": _constraints,
    "certificatePolicies": _policies,
    "subjectAltName": _names,
}

# --- files --------------------------------------------------------------------------------------------------------


def written(recipe: Recipe, key: Key | None = None) -> str:
    """A request after this recipe, PEM; by default of a new key."""
    key = key or KEYS[recipe.get("key", "ecdsa-p256")]()
    signed = signed_part(recipe, key.spki)
    algorithm, signature = key.sign(signed, recipe.get("hash", "sha256"))
    return pem(sequence(signed, algorithm, tlv(0x03, b"\0", signature)))


def pem(der: bytes) -> str:
    """One PEM block (RFC 7468 §7)."""
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n"


def der_of(text: str) -> bytes:
    """What is in the PEM block."""
    found = re.search(r"-----BEGIN [A-Z ]+-----\n(.*?)-----END ", text, re.DOTALL)
    assert found is not None
    return base64.b64decode(found[1])


def elements(der: bytes) -> list[bytes]:
    """The TLVs that stand one after the other inside the first one. Raises `ValueError` where they do not fit."""
    content, rest = _split(der)
    del rest
    found = []
    while content:
        _, rest = _split(content)
        found.append(content[: len(content) - len(rest)])
        content = rest
    return found


def _split(der: bytes) -> tuple[bytes, bytes]:
    """The content of the first TLV, and what follows after it."""
    if len(der) < 2:
        raise ValueError("cut off")
    more = der[1] & 0x7F if der[1] & 0x80 else 0
    size = int.from_bytes(der[2 : 2 + more]) if more else der[1]
    start = 2 + more
    if len(der) < start + size:
        raise ValueError("cut off")
    return der[start : start + size], der[start + size :]


def is_request(path: Path) -> bool:
    """Whether a file holds a CSR, by its content: in PEM, whatever it is, or the structure in DER."""
    data = path.read_bytes()
    if re.search(rb"-----BEGIN (NEW )?CERTIFICATE REQUEST-----", data):
        return True
    try:
        signed, *_ = elements(data)
        version, _, spki, *attributes = elements(signed)
        return version[0] == 0x02 and len(elements(spki)) == 2 and all(each[0] == 0xA0 for each in attributes)
    except ValueError:
        return False


def number_of(text: str) -> int:
    """The number by which badkeys knows a request's key (docs/BLOCKLISTFORMAT.md in its repository)."""
    key = x509.load_pem_x509_csr(text.encode()).public_key()
    match key:
        case rsa.RSAPublicKey():
            return key.public_numbers().n
        case ec.EllipticCurvePublicKey():
            return key.public_numbers().x
        case ed25519.Ed25519PublicKey():
            return int.from_bytes(key.public_bytes_raw())
        case _:
            raise TypeError(type(key))


def follows(text: str, recipe: Recipe) -> bool:
    """Whether a request holds what its recipe says, for a key of that family."""
    signed = elements(der_of(text))[0]
    spki = elements(signed)[2]
    family = recipe.get("key", "ecdsa-p256").split("-")[0]
    return signed == signed_part(recipe, spki) and FAMILIES[family] in spki


def main() -> None:
    from tests.golden.golden import csr_recipes  # noqa: PLC0415 - it reads the cases with the help of this module

    for path, recipe in csr_recipes().items():
        if not path.exists() or not follows(path.read_text(), recipe):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(written(recipe))


if __name__ == "__main__":
    main()
