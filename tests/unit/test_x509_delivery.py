import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.errors import RefusedError
from shared.vocabulary.formats import DownloadFormat
from shared.x509.delivery import render
from tests.pkcs7 import pkcs7_certificates
from tests.vectors.x509.builders import LEAF, LOWER, OTHER_ROOT, ROOT, UPPER, sha1_root

CHAIN = [LEAF.issue(), LOWER.issue(), UPPER.issue(), ROOT.issue()]


def ders(certificates: list[x509.Certificate]) -> list[bytes]:
    return [certificate.public_bytes(Encoding.DER) for certificate in certificates]


def refusal(chain: list[bytes], format_: DownloadFormat, *, with_chain: bool) -> list[str]:
    with pytest.raises(RefusedError) as caught:
        render(chain, format_, with_chain=with_chain)
    return [found.code for found in caught.value.findings]


def test_pem_holds_the_leaf_and_its_intermediates_in_order_without_the_root() -> None:
    text = render(CHAIN, DownloadFormat.PEM_X509, with_chain=True)
    assert ders(x509.load_pem_x509_certificates(text)) == CHAIN[:3]


def test_pem_without_the_chain_holds_the_leaf_alone() -> None:
    text = render(CHAIN, DownloadFormat.PEM_X509, with_chain=False)
    assert ders(x509.load_pem_x509_certificates(text)) == CHAIN[:1]


def test_der_is_the_leaf_itself() -> None:
    assert render(CHAIN, DownloadFormat.DER_X509, with_chain=False) == CHAIN[0]


def test_der_cannot_hold_a_chain() -> None:
    assert refusal(CHAIN, DownloadFormat.DER_X509, with_chain=True) == ["download.single-certificate"]


@pytest.mark.parametrize("with_chain", [True, False])
def test_pkcs7_holds_the_same_certificates_in_the_same_order(with_chain: bool) -> None:  # noqa: FBT001 - a parameter of pytest's
    expected = CHAIN[:3] if with_chain else CHAIN[:1]
    pem = render(CHAIN, DownloadFormat.PEM_PKCS7, with_chain=with_chain)
    der = render(CHAIN, DownloadFormat.DER_PKCS7, with_chain=with_chain)
    assert ders(pkcs7_certificates(pem)) == expected
    assert ders(pkcs7_certificates(der)) == expected


def test_pkcs12_is_not_available_here() -> None:
    assert refusal(CHAIN, DownloadFormat.DER_PKCS12, with_chain=True) == ["download.format-not-available"]


def test_an_unrelated_root_is_left_out_as_well() -> None:
    text = render([CHAIN[0], OTHER_ROOT.issue()], DownloadFormat.PEM_X509, with_chain=True)
    assert ders(x509.load_pem_x509_certificates(text)) == CHAIN[:1]


def test_a_root_is_left_out_even_if_its_own_signature_is_too_old_to_verify() -> None:
    text = render([CHAIN[0], sha1_root()], DownloadFormat.PEM_X509, with_chain=True)
    assert ders(x509.load_pem_x509_certificates(text)) == CHAIN[:1]


@pytest.mark.parametrize("format_", [f for f in DownloadFormat if f is not DownloadFormat.DER_PKCS12])
def test_only_certificates_are_delivered(format_: DownloadFormat) -> None:
    assert refusal([b"junk"], format_, with_chain=False) == ["certificate.unreadable"]
    assert refusal([], format_, with_chain=False) == ["download.empty"]
