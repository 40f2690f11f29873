import pytest
from cryptography.hazmat.primitives.asymmetric import ed448

from shared.x509.keys import KEY_TYPES, KeyAlgorithm, KeyFacts, check_key, key_facts, key_type


def rsa_key(bits: int = 2048, exponent: int = 65537) -> KeyFacts:
    return KeyFacts(algorithm=KeyAlgorithm.RSA, bits=bits, exponent=exponent)


def ec_key(curve: str, bits: int = 256) -> KeyFacts:
    return KeyFacts(algorithm=KeyAlgorithm.EC, bits=bits, curve=curve)


def codes(key: KeyFacts, allowed: frozenset[str] = KEY_TYPES) -> list[str]:
    return [found.code for found in check_key(key, allowed)]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (rsa_key(2048), "rsa-2048"),
        (rsa_key(4096), "rsa-4096"),
        (ec_key("secp256r1"), "ecdsa-p256"),
        (ec_key("secp384r1", 384), "ecdsa-p384"),
        (ec_key("secp521r1", 521), "ecdsa-p521"),
        (ec_key("brainpoolP256r1"), "ecdsa-brainpoolP256r1"),
        (KeyFacts(algorithm=KeyAlgorithm.ED25519, bits=256), "ed25519"),
        (KeyFacts(algorithm=KeyAlgorithm.ED448, bits=456), "ed448"),
    ],
)
def test_a_key_type_is_one_word(key: KeyFacts, name: str) -> None:
    assert key_type(key) == name


@pytest.mark.parametrize("exponent", [1, 3, 65535, 65536, 65538])
def test_an_exponent_is_odd_and_at_least_65537(exponent: int) -> None:
    assert codes(rsa_key(exponent=exponent)) == ["key.rsa-exponent"]


def test_an_rsa_size_is_a_multiple_of_eight() -> None:
    assert codes(rsa_key(2049), frozenset({"rsa-2049"})) == ["key.rsa-size"]
    assert codes(rsa_key(2056), frozenset({"rsa-2056"})) == []


def test_a_small_rsa_key_is_refused_even_where_the_policy_allows_it() -> None:
    assert codes(rsa_key(1024), frozenset({"rsa-1024"})) == ["key.rsa-too-small"]


def test_another_curve_is_refused_even_where_the_policy_allows_it() -> None:
    assert codes(ec_key("secp256k1"), frozenset({"ecdsa-secp256k1"})) == ["key.curve"]


def test_a_strong_key_of_a_type_that_the_policy_leaves_out_is_refused() -> None:
    assert codes(rsa_key(2048), frozenset({"ecdsa-p256"})) == ["key.type-not-allowed"]
    assert codes(rsa_key(2048), frozenset()) == ["key.type-not-allowed"]


def test_an_ed448_key_is_known_but_not_among_the_key_types() -> None:
    facts = key_facts(ed448.Ed448PrivateKey.generate().public_key())
    assert (key_type(facts), facts.bits) == ("ed448", 456)
    assert codes(facts) == ["key.type-not-allowed"]


def test_every_reason_is_told_at_once() -> None:
    assert codes(rsa_key(1023, 3)) == [
        "key.rsa-too-small",
        "key.rsa-size",
        "key.rsa-exponent",
        "key.type-not-allowed",
    ]
