"""What the sandbox's account looks like: its organisation, its container, its products."""

from dataclasses import dataclass

ORGANIZATION_ID = 481153
CONTAINER_ID = 73906
IMPORTED_ORDER_ID = 90_000_001
IMPORTED_NAME = "imported.example.com"
PUBLIC_CA_CERT_ID = "5A2D9C1E7B3F4068"
PRIVATE_CA_CERT_ID = "C81B5E0F92A74D36"
HASHES = ("sha256", "sha384", "sha512")


@dataclass(frozen=True, slots=True)
class Organization:
    """Whose certificates these are; the subject's O, L, ST and C come from here and never from an order."""

    id: int = ORGANIZATION_ID
    name: str = "Example Organisation"
    city: str = "Bern"
    state: str = "Bern"
    country: str = "CH"


@dataclass(frozen=True, slots=True)
class ProductEntry:
    name_id: str
    name: str
    group_name: str = "ssl_certificate"
    private: bool = False
    many_names: bool = True

    @property
    def validation_type(self) -> str:
        return "private" if self.private else "ov"

    @property
    def ca_cert_id(self) -> str:
        return PRIVATE_CA_CERT_ID if self.private else PUBLIC_CA_CERT_ID


ORGANIZATION = Organization()

PRODUCTS = {
    product.name_id: product
    for product in (
        ProductEntry("ssl_basic", "Basic OV"),
        ProductEntry("ssl_plus", "Standard SSL", many_names=False),
        ProductEntry("ssl_multi_domain", "Multi-Domain SSL"),
        ProductEntry("ssl_wildcard", "Wildcard", many_names=False),
        ProductEntry("ssl_securesite_flex", "Secure Site OV"),
        ProductEntry("ssl_securesite_pro", "Secure Site Pro SSL"),
        ProductEntry("private_ssl_flex", "Private SSL", group_name="private_ssl", private=True),
        ProductEntry("private_ssl_plus", "Private SSL Plus", group_name="private_ssl", private=True, many_names=False),
        ProductEntry("private_ssl_wildcard", "Private SSL Wildcard", group_name="private_ssl", private=True),
        ProductEntry("private_ssl_multi_domain", "Private SSL Multi-Domain", group_name="private_ssl", private=True),
    )
}
