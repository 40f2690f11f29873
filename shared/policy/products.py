"""What DigiCert's products can deliver, as far as a policy can be judged by it without asking DigiCert.

DigiCert writes a TLS certificate by itself: names and key come from the order, the rest from the product. See
https://dev.digicert.com/en/certcentral-apis/services-api/orders.html for the products.
"""

from dataclasses import dataclass

from shared.policy.model import Trust
from shared.vocabulary.reasons import RevocationReason
from shared.x509.comparison import CertificateKind
from shared.x509.keys import KEY_TYPES, PUBLIC_KEY_TYPES
from shared.x509.profiles import NameKind

TLS_REASONS = (
    RevocationReason.UNSPECIFIED,
    RevocationReason.KEY_COMPROMISE,
    RevocationReason.AFFILIATION_CHANGED,
    RevocationReason.SUPERSEDED,
    RevocationReason.CESSATION_OF_OPERATION,
)
"""For which DigiCert revokes a TLS certificate (BR 7.2.2), public or private."""


@dataclass(frozen=True)
class Product:
    """A kind of certificate as the CA issues it."""

    kind: CertificateKind
    name_kinds: frozenset[NameKind]
    purposes: frozenset[str]
    """The extended key usages that can be had; serverAuth is always there."""
    usages: frozenset[str]
    """The key usages that can be had, by the key's algorithm."""
    wildcards: bool = True
    key_types_refused: frozenset[str] = frozenset()
    lint_known: frozenset[str] = frozenset()
    """Codes of errors that the linter finds in this product's certificates and that have been judged to do no harm."""
    revocation_reasons: tuple[RevocationReason, ...] = TLS_REASONS
    """For which its certificates can be revoked."""

    @property
    def trust(self) -> Trust:
        """Whether strangers' software trusts its certificates."""
        return Trust.PRIVATE if self.kind is CertificateKind.PRIVATE else Trust.PUBLIC


def _tls(kind: CertificateKind, *, wildcards: bool = True) -> Product:
    return Product(
        kind,
        name_kinds=frozenset({NameKind.DNS}),
        purposes=frozenset({"serverAuth", "clientAuth"}),
        usages=frozenset({"digitalSignature", "keyEncipherment"}),
        wildcards=wildcards,
        # BR 6.1.5: no public CA certifies these.
        key_types_refused=frozenset() if kind is CertificateKind.PRIVATE else KEY_TYPES - PUBLIC_KEY_TYPES,
    )


_DV = _tls(CertificateKind.DOMAIN_VALIDATED)
_OV, _OV_SINGLE = (_tls(CertificateKind.ORGANISATION_VALIDATED, wildcards=wildcards) for wildcards in (True, False))
_EV = _tls(CertificateKind.EXTENDED_VALIDATION, wildcards=False)
_PRIVATE = _tls(CertificateKind.PRIVATE)

PRODUCTS = {
    **dict.fromkeys(
        ("ssl_basic", "ssl_wildcard", "ssl_multi_domain", "ssl_securesite_flex", "ssl_securesite_pro"),
        _OV,
    ),
    "ssl_plus": _OV_SINGLE,
    **dict.fromkeys(
        (
            "ssl_dv_geotrust",
            "ssl_dv_rapidssl",
            "wildcard_dv_geotrust",
            "wildcard_dv_rapidssl",
            "cloud_dv_geotrust",
        ),
        _DV,
    ),
    **dict.fromkeys(("ssl_ev_basic", "ssl_ev_securesite_flex"), _EV),
    **dict.fromkeys(
        ("private_ssl_flex", "private_ssl_plus", "private_ssl_wildcard", "private_ssl_multi_domain"), _PRIVATE
    ),
}
"""By DigiCert's product id; what does not stand here, nothing is known of."""


def product_of(name: str, trust: Trust) -> Product:
    """What this product delivers; one of which nothing is known counts as a plain one of its trust kind."""
    return PRODUCTS.get(name) or (_PRIVATE if trust is Trust.PRIVATE else _OV)
