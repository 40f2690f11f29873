import pytest
from cryptography import x509
from pydantic import ValidationError

from shared.errors import RefusedError
from shared.x509.names import Attribute, DistinguishedName, SubjectAltNames, read_general_names


def test_a_name_is_written_last_attribute_first() -> None:
    assert (
        str(DistinguishedName.of(C="GB", O="Example Ltd", CN="www.example.com"))
        == "CN=www.example.com,O=Example Ltd,C=GB"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Example, Ltd", r"O=Example\, Ltd"),
        (" a ", r"O=\ a\ "),
        (" ", r"O=\ "),
        ("#1", r"O=\#1"),
        (",", r"O=\,"),
        ('a"b+c;d<e>f\\g=h', r"O=a\"b\+c\;d\<e\>f\\g=h"),
        ("a\\ ", r"O=a\\\ "),
        ("Müller", "O=Müller"),
    ],
)
def test_special_characters_are_escaped_and_read_back(value: str, text: str) -> None:
    name = DistinguishedName.of(O=value)
    assert str(name) == text
    assert DistinguishedName.parse(text) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", DistinguishedName()),
        (r"O=Lu\C4\8Di\C4\87", DistinguishedName.of(O="Lučić")),
        ("cn = a.example.com , o= Example ", DistinguishedName.of(O="Example", CN="a.example.com")),
        ("2.5.4.3=a", DistinguishedName.of(CN="a")),
        ("1.2.3.4=a", DistinguishedName(attributes=(Attribute(type="1.2.3.4", value="a"),))),
        ("EMAILADDRESS=a@example.com", DistinguishedName.of(emailAddress="a@example.com")),
    ],
)
def test_people_may_write_a_name_in_several_ways(text: str, name: DistinguishedName) -> None:
    assert DistinguishedName.parse(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "CN",
        "CN=",
        "=a",
        "CN=a,",
        ",CN=a",
        "CN=a,,O=b",
        "CN=a+O=b",
        "CN=a;O=b",
        "CN=#0401",
        "unknown=a",
        "9.9=a",
        r"CN=a\q",
        "CN=a\\",
        r"CN=\FF",
        r"CN=a\0Ab",
        "CN=" + "a" * 1025,
        ",".join(["O=a"] * 65),
        "CN=" + " " * 100_000 + '"',
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(RefusedError) as caught:
        DistinguishedName.parse(text)
    assert [found.code for found in caught.value.findings] == ["name.dn-syntax"]


def test_values_and_the_most_specific_common_name_can_be_asked_for() -> None:
    name = DistinguishedName.parse("CN=b,OU=2,CN=a,OU=1")
    assert name.values("OU") == ("1", "2")
    assert name.common_name == "b"
    assert DistinguishedName().common_name is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("C", "GBR"),
        ("C", "üü"),
        ("CN", "a" * 65),
        ("serialNumber", "ü"),
        ("emailAddress", "ü@example.com"),
        ("DC", "ü"),
        ("1.99.1", "a"),
    ],
)
def test_a_value_that_its_attribute_cannot_hold_is_refused_on_the_way_into_a_certificate(kind: str, value: str) -> None:
    name = DistinguishedName(attributes=(Attribute(type=kind, value=value),))
    with pytest.raises(RefusedError) as caught:
        name.to_x509()
    assert [found.code for found in caught.value.findings] == ["name.attribute-unfit"]


@pytest.mark.parametrize("value", ["", "a\nb", "a\0", "a\u202eb", "a\u2028b", "\x9b31m", "\ud800"])
def test_what_cannot_be_shown_is_no_value(value: str) -> None:
    with pytest.raises(ValidationError):
        Attribute(type="O", value=value)


def test_a_multi_valued_part_is_refused() -> None:
    parts = [x509.NameAttribute(x509.NameOID.COMMON_NAME, text) for text in "ab"]
    with pytest.raises(ValueError, match="exactly one"):
        DistinguishedName.from_x509(x509.Name([x509.RelativeDistinguishedName(parts)]))


def test_a_binary_value_is_refused() -> None:
    bits = x509.NameAttribute(x509.NameOID.X500_UNIQUE_IDENTIFIER, b"\1", x509.name._ASN1Type.BitString)
    with pytest.raises(TypeError, match="text"):
        DistinguishedName.from_x509(x509.Name([bits]))


def test_a_name_has_a_bounded_number_of_attributes() -> None:
    many = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "a")] * 65)
    with pytest.raises(ValueError, match="at most"):
        DistinguishedName.from_x509(many)


def test_alternative_names_are_canonical_and_distinct_and_keep_their_order() -> None:
    names = SubjectAltNames(
        dns=("b.Example.com.", "a.example.com", "B.example.com", "bücher.example.com"),
        ip=("2001:DB8:0::1", "2001:db8::1"),
        email=("Jane@Example.COM",),
    )
    assert names.dns == ("b.example.com", "a.example.com", "xn--bcher-kva.example.com")
    assert names.ip == ("2001:db8::1",)
    assert names.email == ("Jane@example.com",)
    assert names.as_set() >= {("dns", "a.example.com"), ("ip", "2001:db8::1")}


@pytest.mark.parametrize("ip", ["example.com", "fe80::1%eth0", "1.2.3.4/8", ""])
def test_an_alternative_address_is_an_address(ip: str) -> None:
    with pytest.raises(ValidationError):
        SubjectAltNames(ip=(ip,))


def test_alternative_names_survive_the_way_through_cryptography() -> None:
    names = SubjectAltNames(
        dns=("*.example.com",), ip=("192.0.2.1",), email=("a@example.com",), uri=("https://example.com/",)
    )
    assert read_general_names(names.to_x509()) == (names, [])


def test_other_kinds_of_names_are_reported_and_not_dropped() -> None:
    names, findings = read_general_names(
        [x509.DNSName("a.example.com"), x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))]
    )
    assert names == SubjectAltNames(dns=("a.example.com",))
    assert [(found.code, found.value) for found in findings] == [("csr.name-kind-unsupported", "RegisteredID")]
