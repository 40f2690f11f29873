"""Stand-ins for keys that are yet to be made: a request that asks for a key pair is judged and linted with one.

Everybody can read their private halves here, and nothing is ever certified with them. What they lend is the form of a
public key of the type, and a CSR that asks for nothing else, so that the same rules judge both kinds of requests.
"""

import hashlib
from collections.abc import Callable
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from shared.errors import RefusedError
from shared.vocabulary.findings import finding
from shared.x509.csr import VerifiedCsr, parse_csr

_SEED = hashlib.sha256(b"a stand-in, never certified").digest()
# The two primes of a modulus, in hexadecimal: of RSA, a key can't be derived from a seed in no time.
_PRIMES = {
    "rsa-2048": (
        (
            "fd9a7623f05718f9bf86a952fcc611ec570d185537c5fe121e25815887eb46c0a4e72fed6804c800b1a280b734d14379"
            "fea756e0e0d23c5d07ce0730cc960040b6dda5926cb8af372cdd92fdd7c928c891c1f8d22b626a8a7673eae609ed185c"
            "37e2c9e782f8563f79cf3d61f6dad4088a918de08404080ede033ef179d8d9cd"
        ),
        (
            "c67ef4d193f1802bcdc46f699649bb05f014f97ec8e0cf7c3b4e2f67b74e02354f8a7eb529254f26a60980eaca9a23c3"
            "7d649d619b5b1578ad7c40c089c0c7f43b06dcf4dbb4d126eb34321780b3c9e69b2785f26b471586d373a65fe0c9dc06"
            "66437d92d01e044011bacddf4d8105dd7167fd53eaca84d2b8b21ed9b1029d25"
        ),
    ),
    "rsa-3072": (
        (
            "e1cde1f46339aa6fab181008b5be04040f3fae32665e1fdec319e8b41fecbb15f3182adb09f32dcf5a8894f2984e39f1"
            "cbce4b8c44f991cf13eba5060226e3e037b40c975715ee807af09d43c9f6cce73cf63b4a47ee674ae82aaf5931733495"
            "e247da6f9d9b69f4545d634fe61b179e2572845dd7a0bb880018b1fd6c44a1db5a02c75960311da91ad5fa06e7e69063"
            "d416f40d5677550710458b5ce881feccfcf163b0d50bb664c55b904dea3231f7d19c8b83e1100ffa9176f29ed302208d"
        ),
        (
            "c0820ecda2c56b447159e89cef0410ea2ab8a5e785206782d2690cf8e6e2d4b7dc9960ecc4374db3f70e4086b6b1d4e5"
            "1b92dab2a890eeda1a5ad31c51f1c2cd2fef9b203f52d1cbf568ec6f96ece99aaa9b6a294b5bc2cac40e8738779f8f56"
            "ed844f4c40395e6c2859f5ad515a927f8c1eea2145ed9173504d25ac968a027787d99d5f02b9a28e17e0970bdcf982a9"
            "43678cc2b3534ed9a1cebb5bd6ad04c8f8d415f83a97f90b434456e94156197dc0069b7c45e9cf4e340df5cabffd7971"
        ),
    ),
    "rsa-4096": (
        (
            "c73e3603a318fe1c4f4c3d1544b7375e49a42d8ac6309e3a983f52e8aa7aa10744a85ba8cd33c1dd5bb9ec6bf9bff07f"
            "fa03e6ac3187d23f887e1c652295f1b20b8e704fefdc542c5c0bc3bc4c5ed1f127fb6faa20a39b677b10047a8408451e"
            "c72a1d9a72b98f4e8fb1d8f3108090849d2b67849ec295f695d375994858c5460294f1623637292d1f8aaee20af23d0b"
            "f968b159ae6a528be0c525083e19d08b01ec0fb7dfafda8ebd469b9e02169f7c1d087a66f130e0cbd27d2e393d39974c"
            "6543c1142aa923ce49a9380aa49236e8f28fc7c81debfde2a9fb20a3a32f8fd5f6d2fbf78bcced3df067cf8b0d711caa"
            "140f4c4253dccde5cafaf6119222af49"
        ),
        (
            "be830c9f152faf8015805dd8f485496556fe1f00e05d259c4df7072f88e978df995d8eb5e432faf2dca8d3c0fc006b09"
            "15e1d3a6e7904c117de157846543bb571d0fc784c6425ee5828cef50e923dd1b9625c238e317eaa8a454ac925af8fc5d"
            "36cd0eea56861c143694837a5db5ea051386ca44b84c36d39b01973cd29f49fd40f414a167cea004b57cbbd0f840fb5b"
            "86deb8a1f963026248bc6fae34946b6b4ba813117eec158dcfdc7937cf5a7729bf6469d0d1513e005d43af19a4c630a1"
            "a7fb2d6d481328d8a3fce57572a506fcb800a57ca5a183dd5fb2631f20de75bbfe2728835da395efd8a8aeea4b6c258e"
            "d74926c31a8f9e9037466f1766fcbbf5"
        ),
    ),
}


def _rsa(kind: str) -> rsa.RSAPrivateKey:
    p, q = (int(prime, 16) for prime in _PRIMES[kind])
    public = rsa.RSAPublicNumbers(65537, p * q)
    d = pow(public.e, -1, (p - 1) * (q - 1))
    crt = (rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q))
    return rsa.RSAPrivateNumbers(p, q, d, *crt, public).private_key(unsafe_skip_rsa_key_validation=True)


_MAKERS: dict[str, Callable[[], CertificateIssuerPrivateKeyTypes]] = {
    **{kind: lambda kind=kind: _rsa(kind) for kind in _PRIMES},  # type: ignore[misc]  # each with its own kind
    "ecdsa-p256": lambda: ec.derive_private_key(int.from_bytes(_SEED[:31]), ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.derive_private_key(int.from_bytes(_SEED[:31]), ec.SECP384R1()),
    "ecdsa-p521": lambda: ec.derive_private_key(int.from_bytes(_SEED[:31]), ec.SECP521R1()),
    "ed25519": lambda: ed25519.Ed25519PrivateKey.from_private_bytes(_SEED),
    "ml-dsa-44": lambda: mldsa.MLDSA44PrivateKey.from_seed_bytes(_SEED),
    "ml-dsa-65": lambda: mldsa.MLDSA65PrivateKey.from_seed_bytes(_SEED),
    "ml-dsa-87": lambda: mldsa.MLDSA87PrivateKey.from_seed_bytes(_SEED),
}


def asked_with(csr: bytes | str | None, key_type: str | None) -> VerifiedCsr:
    """What is asked with: the CSR where there is one, and otherwise the stand-in of this key type.

    Raises:
        RefusedError: `csr.*`, or `key.type-unknown`.
    """
    return parse_csr(csr or b"") if key_type is None else stand_in(key_type)


@cache
def stand_in(key_type: str) -> VerifiedCsr:
    """A CSR with a key of this type that asks for nothing: no subject, no names, no extensions.

    Raises:
        RefusedError: `key.type-unknown`.
    """
    maker = _MAKERS.get(key_type)
    if maker is None:
        choice = ", ".join(_MAKERS)
        raise RefusedError(finding("key.type-unknown", f"the key types are: {choice}", value=key_type))
    key = maker()
    hashed = hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else None
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    deterministic = True if isinstance(key, ec.EllipticCurvePrivateKey) else None
    return parse_csr(builder.sign(key, hashed, ecdsa_deterministic=deterministic).public_bytes(Encoding.DER))
