import pytest

from shared.x509.dns import check_dns_name, check_ip, normalise_dns


def codes(name: str, *, public: bool = True) -> list[str]:
    return [found.code for found in check_dns_name(name, public=public)]


@pytest.mark.parametrize(
    "name",
    [
        "example.com",
        "www.example.org",
        "*.example.com",
        "a-b.example.com",
        "123.example.com",
        "WWW.Example.COM",
        "xn--bcher-kva.example.com",
        "a" * 63 + ".example.com",
        ".".join(["a" * 49] * 5) + ".io",
    ],
)
def test_an_ordinary_name_is_fine_in_public(name: str) -> None:
    assert codes(name) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "example.com.",
        ".example.com",
        "a..example.com",
        "-a.example.com",
        "a-.example.com",
        "a_b.example.com",
        "a b.example.com",
        "example.com\n",
        "example.com\0.org",
        "bücher.example.com",
        "xn--.example.com",
        "xn--a.example.com",
        "xn--ls8h.example.com",
        "ab--cd.example.com",
        "192.0.2.1",
        "a" * 64 + ".example.com",
        ".".join(["a" * 49] * 5) + ".info",
        "*." + ".".join(["a" * 49] * 5) + ".io",
        "*.",
        "*.192.0.2.1",
        "https://example.com",
    ],
)
@pytest.mark.parametrize("public", [True, False])
def test_what_is_no_host_name_is_refused_everywhere(name: str, public: bool) -> None:  # noqa: FBT001 - a parameter of pytest's
    assert codes(name, public=public) == ["name.dns-syntax"]


@pytest.mark.parametrize("name", ["*", "a*.example.com", "*a.example.com", "www.*.com", "*.*.example.com", "**.a.com"])
@pytest.mark.parametrize("public", [True, False])
def test_a_wildcard_is_the_whole_left_most_label(name: str, public: bool) -> None:  # noqa: FBT001 - a parameter of pytest's
    assert codes(name, public=public) == ["name.dns-wildcard"]


def test_a_wildcard_right_below_a_top_level_domain_is_refused() -> None:
    assert "name.dns-wildcard" in codes("*.com")
    assert codes("*.com", public=False) == ["name.dns-wildcard"]


@pytest.mark.parametrize(
    "name",
    [
        "server",
        "localhost",
        "a.local",
        "a.internal",
        "a.test",
        "a.example",
        "a.invalid",
        "a.localhost",
        "printer.home.arpa",
        "1.2.0.192.in-addr.arpa",
        "8.b.d.0.1.0.0.2.ip6.arpa",
        "a.onion",
        "*.corp",
        "A.LAN",
    ],
)
def test_internal_and_reserved_names_are_refused_in_public_only(name: str) -> None:
    assert "name.dns-internal" in codes(name)
    assert "name.dns-internal" not in codes(name, public=False)


@pytest.mark.parametrize("name", ["server", "a.local", "db.corp"])
def test_internal_names_are_fine_in_private_certificates(name: str) -> None:
    assert codes(name, public=False) == []


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("WWW.Example.com.", "www.example.com"),
        ("bücher.example.com", "xn--bcher-kva.example.com"),
        ("*.Bücher.example.com", "*.xn--bcher-kva.example.com"),
        ("faß.example", "xn--fa-hia.example"),
        ("example.com..", "example.com.."),
        (".", "."),
        ("", ""),
        ("ü" * 300, "ü" * 300),
        ("ü..com", "ü..com"),
    ],
)
def test_a_name_is_normalised_to_lower_case_a_labels(name: str, canonical: str) -> None:
    assert normalise_dns(name) == canonical


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "192.0.2.1",
        "192.168.0.1",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",  # noqa: S104 - an address in a certificate, no socket
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:8.8.8.8",
        "2002:808:808::1",
        "64:ff9b::808:808",
    ],
)
def test_reserved_addresses_are_refused_in_public_only(address: str) -> None:
    assert [found.code for found in check_ip(address, public=True)] == ["name.ip-reserved"]
    assert check_ip(address, public=False) == []


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_a_reachable_address_is_fine_in_public(address: str) -> None:
    assert check_ip(address, public=True) == []


@pytest.mark.parametrize("address", ["", "example.com", "1.2.3", "1.2.3.4/24", "01.2.3.4"])
def test_what_is_no_address_is_refused(address: str) -> None:
    assert [found.code for found in check_ip(address, public=False)] == ["name.ip-syntax"]
