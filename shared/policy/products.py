"""What DigiCert's products can deliver, as far as a policy can be judged by it without asking DigiCert.

DigiCert writes a TLS certificate by itself: names and key come from the order, the rest from the product. See
https://dev.digicert.com/en/certcentral-apis/services-api/orders.html for the products.
"""

from dataclasses import dataclass

from shared.policy.model import Trust
from shared.x509.profiles import NameKind


@dataclass(frozen=True)
class Product:
    """A kind of certificate as the CA issues it."""

    trust: Trust
    name_kinds: frozenset[NameKind]
    purposes: frozenset[str]
    """The extended key usages that can be had; serverAuth is always there."""
    usages: frozenset[str]
    """The key usages that can be had, by the key's algorithm."""
    wildcards: bool = True


def _tls(trust: Trust, *, wildcards: bool = True) -> Product:
    return Product(
        trust,
        name_kinds=frozenset({NameKind.DNS}),
        purposes=frozenset({"serverAuth", "clientAuth"}),
        usages=frozenset({"digitalSignature", "keyEncipherment"}),
        wildcards=wildcards,
    )


_PUBLIC, _PUBLIC_SINGLE, _PRIVATE = (
    _tls(Trust.PUBLIC),
    _tls(Trust.PUBLIC, wildcards=False),
    _tls(Trust.PRIVATE),
)

PRODUCTS = {
    **dict.fromkeys(
        (
            "ssl_basic",
            "ssl_wildcard",
            "ssl_multi_domain",
            "ssl_securesite_flex",
            "ssl_securesite_pro",
            "ssl_dv_geotrust",
            "ssl_dv_rapidssl",
            "wildcard_dv_geotrust",
            "wildcard_dv_rapidssl",
            "cloud_dv_geotrust",
        ),
        _PUBLIC,
    ),
    **dict.fromkeys(("ssl_plus", "ssl_ev_basic", "ssl_ev_securesite_flex"), _PUBLIC_SINGLE),
    **dict.fromkeys(
        ("private_ssl_flex", "private_ssl_plus", "private_ssl_wildcard", "private_ssl_multi_domain"), _PRIVATE
    ),
}
"""By DigiCert's product id; what does not stand here, nothing is known of."""
