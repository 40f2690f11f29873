"""Public keys that are known to be weak (BR 6.1.1.3): what anybody can break, and what is public already."""

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from badkeys.checks import checkrsa
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pydantic import ValidationError

from shared.errors import UnavailableError
from shared.vocabulary.findings import Finding, Severity, finding
from shared.vocabulary.model import Model
from shared.x509.csr import MAX_RSA_BITS
from shared.x509.decoding import refusing

MAX_EXPONENT_BITS = 256
"""A public exponent is below 2^256 (FIPS 186-5 §A.1.1; BR 6.1.6 recommends it).

That also rules out the small private exponents of Wiener's attack, whose public exponent is about as long as the
modulus, and bounds the time of everything else.
"""
LISTING_FILE = "badkeysdata.json"
HASHES_FILE = "blocklist.dat"

# What each check of `badkeys` means here. Named one by one: its default set includes the blocklist, without which
# it ends the process. Left out: `blocklist` (read here, see `Blocklist`); `smalld` (ruled out by the exponent's
# limit, and taking 0.7 s for 8192 bits); `rsainvalid` (said by `check_key`); `rsawarnings` (sizes, which the policy
# decides); `pattern` and `xzbackdoor`, which say how a modulus looks and of which the library itself thinks little.
# Fermat's method is tried for 100 rounds, as BR 6.1.1.3 demands.
_ERROR, _WARNING = Severity.ERROR, Severity.WARNING
_RSA_CHECKS = {
    "fermat": ("key.fermat-close", _ERROR, "its two primes are so close that Fermat's method finds them"),
    "roca": ("key.roca", _ERROR, "it was made by the Infineon library whose keys can be factored (CVE-2017-15361)"),
    "smallfactors": ("key.small-factors", _ERROR, "its modulus has a small factor"),
    "sharedprimes": ("key.shared-prime", _ERROR, "it shares a prime with keys seen elsewhere"),
    "rsapoly": ("key.zero-pattern", _ERROR, "its primes have a pattern by which they can be found"),
    "rsabias": ("key.biased", _WARNING, "its bits are not as random as a good generator makes them"),
}

# The points of Ed25519 whose order divides its cofactor (RFC 8032 §5.1): a signature under such a key can be had
# without any private key, so that not even the proof of possession proves anything.
_ED25519_PRIME = 2**255 - 19
_SMALL_ORDER = frozenset(
    {
        0,
        1,
        _ED25519_PRIME - 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)
"""By their y coordinates."""

_DEBIAN = "debianssl"
_RECORD = 16
_HASH = _RECORD - 1


def check_weakness(spki_der: bytes) -> list[Finding]:
    """Every known weakness of form of the key in this SubjectPublicKeyInfo; an empty list means that none is known.

    Takes about a millisecond, for RSA keys of up to 8192 bits; larger ones are refused unseen. Key types and sizes
    are the business of `check_key`, and Debian-weak and other published keys that of `check_published`.

    Findings: `key.fermat-close`, `key.roca`, `key.small-factors`, `key.shared-prime`, `key.zero-pattern`,
    `key.rsa-too-large`, `key.rsa-exponent-too-large`, `key.small-order`, `key.unchecked` when a check itself fails,
    and `key.biased`, which is a warning.

    Raises:
        RefusedError: the key is unreadable (`key.unreadable`).
    """
    match _read(spki_der):
        case rsa.RSAPublicKey() as key:
            return _check_rsa(key)
        case ed25519.Ed25519PublicKey() as key:
            return _check_ed25519(key)
        case _:
            return []


def check_published(spki_der: bytes, blocklist: "Blocklist") -> list[Finding]:
    """Whether the private half of the key in this SubjectPublicKeyInfo is public.

    Findings: `key.debian-weak`, `key.blocklisted`.

    Raises:
        RefusedError: the key is unreadable (`key.unreadable`).
        UnavailableError: the blocklist is no longer the one that was opened.
    """
    value = _number(_read(spki_der))
    name = None if value is None else blocklist.list_of(value)
    if name is None:
        return []
    if name == _DEBIAN:
        message = "the key was made by Debian's broken generator (CVE-2008-0166): its private half is public"
        return [finding("key.debian-weak", message)]
    return [finding("key.blocklisted", "the private half of this key has been published", value=name)]


def _read(spki_der: bytes) -> PublicKeyTypes:
    with refusing("key.unreadable", "this is not a public key that can be read (RFC 5280 §4.1)"):
        return load_der_public_key(spki_der)


@dataclass(frozen=True)
class Blocklist:
    """Keys whose private half is public, in the format of `badkeys`: sorted records, and the lists they come from.

    It is read here and not by `badkeys`, which finds it through the environment, keeps it for good, and ends the
    process when it is missing. It is read without mapping it into memory: a file that is cut off while it is read
    is an error and not the end of the process.
    """

    folder: Path
    names: dict[int, str]
    """What the lists are called, by the number that stands in a record."""
    verified: "_Identity"
    """The file that was verified, and no other, is read."""

    @classmethod
    def open(cls, folder: Path) -> "Blocklist":
        """The blocklist in this folder; its checksum is verified anew whenever one of the files has changed.

        That takes about 50 ms for the real one; as long as nothing has changed, opening it costs next to nothing.

        Raises:
            UnavailableError: it is missing, damaged, being updated, or of another format.
        """
        try:
            listing, hashes = folder / LISTING_FILE, folder / HASHES_FILE
            seen = _identity(hashes.stat())
            return cls(folder, _verified_names(listing, hashes, _identity(listing.stat()), seen), seen)
        except (OSError, ValidationError, _DamagedError) as error:
            raise UnavailableError("blocklist", f"{folder}: {error}") from None

    def list_of(self, value: int) -> str | None:
        """The name of the list that holds the key of this number (RSA: modulus, EC: x, Edwards curves: the bytes).

        Raises:
            UnavailableError: the file is gone, or is not the one that was verified.
        """
        wanted = hashlib.sha256(value.to_bytes((value.bit_length() + 7) // 8)).digest()[:_HASH]
        try:
            record = self._record(wanted)
        except (OSError, _DamagedError) as error:
            raise UnavailableError("blocklist", f"{self.folder}: {error}") from None
        return None if record is None else self.names.get(record[_HASH], f"id{record[_HASH]}")

    def _record(self, wanted: bytes) -> bytes | None:
        with (self.folder / HASHES_FILE).open("rb") as hashes:
            if _identity(os.fstat(hashes.fileno())) != self.verified:
                raise _DamagedError(f"{HASHES_FILE} has changed")
            return _find(hashes.fileno(), wanted)


class _DamagedError(Exception):
    """The files of a blocklist are not what they should be."""


class _List(Model, extra="ignore"):
    id: int
    name: str


class _Listing(Model, extra="ignore"):
    """The part of `badkeysdata.json` that matters here."""

    bkformat: int
    blocklist_sha256: str
    blocklists: tuple[_List, ...]


_Identity = tuple[int, int, int, int]


def _identity(status: os.stat_result) -> _Identity:
    """What changes when a file is replaced or written to."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=4)
def _verified_names(listing: Path, hashes: Path, *identities: _Identity) -> dict[int, str]:
    del identities  # they are part of the cache's key alone
    told = _Listing.model_validate_json(listing.read_bytes())
    if told.bkformat != 0:
        raise _DamagedError(f"format {told.bkformat} is not supported")
    with hashes.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != told.blocklist_sha256:
            raise _DamagedError(f"{HASHES_FILE} is not the file that {LISTING_FILE} describes")
    return {entry.id: entry.name for entry in told.blocklists}


def _find(descriptor: int, wanted: bytes) -> bytes | None:
    """The record that begins with these bytes, by bisection."""
    low, high = 0, os.fstat(descriptor).st_size // _RECORD
    while low < high:
        middle = (low + high) // 2
        record = os.pread(descriptor, _RECORD, middle * _RECORD)
        if len(record) < _RECORD:
            raise _DamagedError(f"{HASHES_FILE} became shorter")
        if record[:_HASH] == wanted:
            return record
        low, high = (middle + 1, high) if record[:_HASH] < wanted else (low, middle)
    return None


def _check_rsa(key: rsa.RSAPublicKey) -> list[Finding]:
    modulus, exponent = key.public_numbers().n, key.public_numbers().e
    if modulus.bit_length() > MAX_RSA_BITS:
        message = f"an RSA key has at most {MAX_RSA_BITS} bits"
        return [finding("key.rsa-too-large", message, value=modulus.bit_length())]
    found = [weakness for check in _RSA_CHECKS for weakness in _ask(check, modulus, exponent)]
    if exponent.bit_length() > MAX_EXPONENT_BITS:
        message = f"an RSA public exponent has at most {MAX_EXPONENT_BITS} bits; longer ones hide weak private ones"
        found.append(finding("key.rsa-exponent-too-large", message, value=f"{exponent.bit_length()} bits"))
    return found


def _check_ed25519(key: ed25519.Ed25519PublicKey) -> list[Finding]:
    y = (int.from_bytes(key.public_bytes_raw(), "little") & (1 << 255) - 1) % _ED25519_PRIME
    if y not in _SMALL_ORDER:
        return []
    return [finding("key.small-order", "anybody can sign for this key: its point is of small order (RFC 8032 §5.1)")]


def _ask(check: str, modulus: int, exponent: int) -> list[Finding]:
    """What one check of the library says; its factors and private keys are not passed on."""
    try:
        weak = check in checkrsa(modulus, e=exponent, checks=(check,))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a key that upsets a check must not pass, nor end us
        return [finding("key.unchecked", f"the key could not be judged by the check {check}", value=repr(error))]
    if not weak:
        return []
    code, severity, message = _RSA_CHECKS[check]
    return [finding(code, f"the key is weak: {message}", severity=severity)]


def _number(key: PublicKeyTypes) -> int | None:
    """The number by which `badkeys` knows a key (its docs/BLOCKLISTFORMAT.md)."""
    match key:
        case rsa.RSAPublicKey():
            return key.public_numbers().n
        case ec.EllipticCurvePublicKey():
            return key.public_numbers().x
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return int.from_bytes(key.public_bytes_raw())
        case _:
            return None
