"""The recipe of the weak keys in `weak/`: `python -m tests.vectors.x509.make_weak` writes them anew.

Each is a public key (PEM) with one weakness, made from primes that have it, and random otherwise. `expected.json`
names, for each file, the codes with which `check_weakness` answers; `fermat-close.csr` is a request that is
signed with the key of this name. `blocklist/` is a blocklist in the format of badkeys (docs/BLOCKLISTFORMAT.md in
its repository) that holds the keys of `published`: random strong keys, entered as if Debian's generator or a
firmware had made them.
"""

import base64
import hashlib
import json
import math
import secrets
import textwrap
from pathlib import Path

import gmpy2  # type: ignore[import-untyped]  # it comes with badkeys and has no types
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tests.vectors.x509.make import CN, O, attribute, info, oid, rsa_public, sequence, spki, subject, tlv

FOLDER = Path(__file__).parent / "weak"
BITS = 2048
EXPONENT = 65537

# ROCA (Nemec et al., CCS 2017): primes of the form k * M + (65537^a mod M), M the product of the first primes.
# The fingerprint is that the modulus is a power of 65537 for each of these.
ROCA_PRODUCT = math.prod((2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
                          97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167))  # fmt: skip


def prime_from(start: int) -> int:
    return int(gmpy2.next_prime(start))


def random_prime(bits: int = BITS // 2) -> int:
    """With the two highest bits set, so that two of them make a modulus of twice as many bits."""
    return prime_from(secrets.randbits(bits) | 3 << (bits - 2))


def close_primes() -> tuple[int, int]:
    """Two primes that are as far apart as the fourth root of the modulus is large: one round finds them."""
    first = random_prime()
    return first, prime_from(first + math.isqrt(first))


def fermat_rounds(first: int, second: int) -> int:
    """How many squares Fermat's method tries, from the root of the modulus upwards."""
    return (first + second) // 2 - math.isqrt(first * second - 1)


def fermat_at(rounds: int) -> int:
    """A modulus that takes Fermat's method just this many rounds."""
    first = random_prime()
    low, high = 0, first >> 8
    while True:
        gap = (low + high) // 2
        second = prime_from(first + gap)
        took = fermat_rounds(first, second)
        if took == rounds:
            return first * second
        low, high = (gap, high) if took < rounds else (low, gap)


def roca_prime() -> int:
    residue = pow(65537, secrets.randbelow(1 << 64), ROCA_PRODUCT)
    bits = BITS // 2 - ROCA_PRODUCT.bit_length()
    while True:
        candidate = (secrets.randbits(bits + 1) | 1 << bits) * ROCA_PRODUCT + residue
        if candidate >> (BITS // 2 - 2) == 3 and gmpy2.is_prime(candidate):
            return candidate


def sparse_prime() -> int:
    """With few ones: what a generator gives that fills each word with a small number."""
    while True:
        words = sum(secrets.randbits(3) << (64 * place) for place in range(BITS // 128))
        candidate = words | 3 << (BITS // 2 - 2) | 1
        if gmpy2.is_prime(candidate):
            return candidate


def biased_modulus() -> int:
    """Random below, all ones above: somebody chose the upper half."""
    first = random_prime()
    upper = (1 << BITS) - 1
    return first * prime_from(upper // first - (1 << 16))


def small_private() -> tuple[int, int]:
    """A modulus and the public exponent to a short private one."""
    first, second = random_prime(), random_prime()
    private = random_prime(256)
    return first * second, pow(private, -1, (first - 1) * (second - 1))


def weak(close: tuple[int, int]) -> dict[str, tuple[bytes, list[str]]]:
    sound = random_prime() * random_prime()
    return {
        "sound": (rsa_public(sound, EXPONENT), []),
        "fermat-close": (rsa_public(math.prod(close), EXPONENT), ["key.fermat-close"]),
        "fermat-100": (rsa_public(fermat_at(100), EXPONENT), ["key.fermat-close"]),
        "fermat-101": (rsa_public(fermat_at(101), EXPONENT), []),
        "square": (rsa_public(random_prime() ** 2, EXPONENT), ["key.fermat-close"]),
        "roca": (rsa_public(roca_prime() * roca_prime(), EXPONENT), ["key.roca"]),
        "small-factor": (rsa_public(65521 * random_prime(BITS - 16), EXPONENT), ["key.small-factors"]),
        "zero-pattern": (rsa_public(sparse_prime() * sparse_prime(), EXPONENT), ["key.zero-pattern"]),
        "biased": (rsa_public(biased_modulus(), EXPONENT), ["key.biased"]),
        "small-private-exponent": (rsa_public(*small_private()), ["key.rsa-exponent-too-large"]),
        "exponent-256-bits": (rsa_public(sound, 1 << 255 | 1), []),
        "rsa-8192": (rsa_public(random_prime(4096) * random_prime(4096), EXPONENT), []),
        "rsa-8200": (rsa_public(random_prime(4100) * random_prime(4100), EXPONENT), ["key.rsa-too-large"]),
    }


def published() -> dict[str, tuple[bytes, bytes, str]]:
    """Keys as SPKI, their records in the blocklist, and the codes to expect."""
    first, second = random_prime(), random_prime()
    p256 = ec.generate_private_key(ec.SECP256R1()).public_key()
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    rsa_record = record(first * second, 1)
    return {
        "debian-rsa": (rsa_public(first * second, EXPONENT), rsa_record, "key.debian-weak"),
        "debian-rsa-other-exponent": (rsa_public(first * second, 65539), rsa_record, "key.debian-weak"),
        "firmware-p256": (spki(p256), record(p256.public_numbers().x, 5), "key.blocklisted"),
        "unlisted-ed25519": (spki(edwards), record(int.from_bytes(edwards.public_bytes_raw()), 77), "key.blocklisted"),
    }


def record(number: int, of_list: int) -> bytes:
    """15 bytes of the hash of the key's own number, without leading zeros, and one for the list."""
    digits = number.to_bytes((number.bit_length() + 7) // 8)
    return hashlib.sha256(digits).digest()[:15] + bytes([of_list])


def weak_request(first: int, second: int) -> bytes:
    """A request for www.example.com that the key of these two primes signed, in plain arithmetic."""
    modulus, private = first * second, pow(EXPONENT, -1, (first - 1) * (second - 1))
    name = subject(attribute(O, b"Example Ltd"), attribute(CN, b"www.example.com"))
    signed = info(name, rsa_public(modulus, EXPONENT))
    hashed = sequence(sequence(oid("2.16.840.1.101.3.4.2.1"), b"\x05\x00"), tlv(4, hashlib.sha256(signed).digest()))
    padded = b"\0\1" + b"\xff" * (BITS // 8 - 3 - len(hashed)) + b"\0" + hashed
    signature = pow(int.from_bytes(padded), private, modulus).to_bytes(BITS // 8)
    return sequence(signed, sequence(oid("1.2.840.113549.1.1.11"), b"\x05\x00"), tlv(3, b"\0", signature))


def blocklist(records: set[bytes]) -> dict[str, bytes]:
    fillers = {secrets.token_bytes(15) + bytes([2]) for _ in range(98)}
    hashes = b"".join(sorted(records | fillers))
    listing = {
        "bkformat": 0,
        "date": "2026-11-20T12:00:00Z",
        "blocklist_url": "https://blocklist.invalid/blocklist.dat.xz",
        "blocklist_sha256": hashlib.sha256(hashes).hexdigest(),
        "lookup_url": "https://blocklist.invalid/lookup.txt.xz",
        "lookup_sha256": hashlib.sha256(b"").hexdigest(),
        "blocklists": [
            {"id": number, "name": name, "type": "github", "repo": f"invalid/{name}", "path": "main"}
            for number, name in ((1, "debianssl"), (2, "keypair"), (5, "firmware"))
        ],
    }
    return {"badkeysdata.json": (json.dumps(listing, indent=2) + "\n").encode(), "blocklist.dat": hashes}


def pem(der: bytes, label: str) -> str:
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"


def main() -> None:
    close = close_primes()
    alone, listed = weak(close), published()
    folder = FOLDER / "blocklist"
    folder.mkdir(parents=True, exist_ok=True)
    keys = {name: der for name, (der, _) in alone.items()} | {name: der for name, (der, _, _) in listed.items()}
    for name, der in keys.items():
        (FOLDER / f"{name}.pem").write_text(pem(der, "PUBLIC KEY"))
    (FOLDER / "fermat-close.csr").write_text(pem(weak_request(*close), "CERTIFICATE REQUEST"))
    expected = {
        "weak": {name: codes for name, (_, codes) in alone.items()},
        "published": {name: code for name, (_, _, code) in listed.items()},
    }
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")
    for name, content in blocklist({entry for _, entry, _ in listed.values()}).items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
