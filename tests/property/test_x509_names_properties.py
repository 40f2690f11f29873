from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RefusedError
from shared.x509.dns import check_dns_name, check_ip, normalise_dns
from shared.x509.names import _OIDS, _UNSHOWABLE, Attribute, DistinguishedName, SubjectAltNames
from tests.vectors.x509.builders import patient

texts = st.text(min_size=1, max_size=64).filter(lambda text: not _UNSHOWABLE.search(text))
special = st.text(alphabet=' \\,+"<>;=#aü', min_size=1, max_size=12)
dotted = st.integers(0, 2**64).map(lambda arc: f"2.25.{arc}")
attributes = st.builds(Attribute, type=st.sampled_from(sorted(_OIDS)) | dotted, value=texts | special)
names = st.lists(attributes, max_size=8).map(lambda found: DistinguishedName(attributes=tuple(found)))
host_like = st.text(alphabet="aB.-*xn1ü", max_size=30) | st.text(max_size=300)


@patient
@given(names)
def test_a_name_written_as_text_is_read_back_as_the_same_name(name: DistinguishedName) -> None:
    assert DistinguishedName.parse(str(name)) == name


@patient
@given(names)
def test_a_name_that_fits_a_certificate_comes_back_from_it_as_the_same_name(name: DistinguishedName) -> None:
    refused, converted = None, None
    try:
        converted = name.to_x509()
    except RefusedError as error:
        refused = {found.code for found in error.findings}
    if converted is None:
        assert refused == {"name.attribute-unfit"}
    else:
        assert DistinguishedName.from_x509(type(converted).from_bytes(converted.public_bytes())) == name


@patient
@given(st.text(max_size=200) | st.text(alphabet='CNO=,+\\ "#;<>0a', max_size=40))
def test_any_text_is_a_name_or_is_refused(text: str) -> None:
    refused, name = None, None
    try:
        name = DistinguishedName.parse(text)
    except RefusedError as error:
        refused = [found.code for found in error.findings]
    if name is None:
        assert refused == ["name.dn-syntax"]
    else:
        assert DistinguishedName.parse(str(name)) == name


@patient
@given(names)
def test_a_name_survives_json(name: DistinguishedName) -> None:
    assert DistinguishedName.model_validate_json(name.model_dump_json()) == name


@patient
@given(host_like)
def test_normalising_a_host_name_twice_changes_nothing(name: str) -> None:
    assert normalise_dns(normalise_dns(name)) == normalise_dns(name)


@patient
@given(host_like, st.booleans())
def test_a_host_name_is_judged_without_an_exception_and_only_ascii_passes(name: str, public: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
    if not check_dns_name(name, public=public):
        assert name.isascii()
        assert 0 < len(name) <= 253
        assert not check_dns_name(normalise_dns(name), public=public)


@patient
@given(st.text(max_size=50) | st.ip_addresses().map(str), st.booleans())
def test_an_address_is_judged_without_an_exception(address: str, public: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
    check_ip(address, public=public)


@patient
@given(st.lists(host_like.filter(bool), max_size=5))
def test_alternative_names_survive_json_unchanged(dns: list[str]) -> None:
    names_ = SubjectAltNames(dns=tuple(dns))
    assert SubjectAltNames.model_validate_json(names_.model_dump_json()) == names_
