from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.vocabulary.names import Digest
from shared.x509.certificate import IssuedCertificate, parse_certificate
from shared.x509.comparison import ApprovedFields, CertificateKind, compare_with_approved
from shared.x509.names import Attribute, DistinguishedName
from tests.vectors.x509.builders import LEAF, LOWER, NAMES, SUBJECT, UPPER, patient

ISSUED = parse_certificate(LEAF.issue())
APPROVED = ApprovedFields(
    kind=CertificateKind.ORGANISATION_VALIDATED,
    spki_sha256=ISSUED.spki_sha256,
    subject=SUBJECT,
    names=NAMES,
    not_before_earliest=LEAF.not_before,
    not_after_latest=LEAF.not_after,
    eku_required=frozenset({"serverAuth"}),
    eku_allowed=frozenset(),
    extensions=(),
    signature_hash="sha256",
    issuer=LOWER.issue(),
)
ELSEWHERE = parse_certificate(replace(LEAF, signer="other root").issue())

labels = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
digests = st.binary(min_size=32, max_size=32).map(lambda data: Digest(f"sha256:{data.hex()}"))
compared_types = st.sampled_from(["CN", "OU", "UID", "emailAddress", "DC", "2.25.7"])
purposes = st.sampled_from(["clientAuth", "codeSigning", "anyExtendedKeyUsage", "1.2.3.4"])
changes = st.one_of(
    st.tuples(st.just("issued.key-differs"), digests.map(lambda digest: {"spki_sha256": digest})),
    st.tuples(
        st.just("issued.names-differ"),
        labels.map(lambda label: {"names": NAMES.model_copy(update={"dns": (*NAMES.dns, f"{label}.example.net")})}),
    ),
    st.tuples(
        st.just("issued.names-differ"),
        st.sampled_from(["dns", "ip"]).map(lambda kind: {"names": NAMES.model_copy(update={kind: ()})}),
    ),
    st.tuples(
        st.just("issued.names-differ"),
        st.sampled_from([("ip", "192.0.2.7"), ("email", "a@example.com"), ("uri", "https://example.com/")]).map(
            lambda added: {"names": NAMES.model_copy(update={added[0]: (added[1],)})}
        ),
    ),
    st.tuples(
        st.just("issued.subject-differs"),
        st.builds(Attribute, type=compared_types, value=labels).map(
            lambda added: {"subject": DistinguishedName(attributes=(*SUBJECT.attributes, added))}
        ),
    ),
    st.tuples(
        st.just("issued.subject-differs"),
        st.just({"subject": DistinguishedName(attributes=SUBJECT.attributes[:-1])}),
    ),
    st.tuples(st.just("issued.eku-differs"), purposes.map(lambda purpose: {"eku": ("serverAuth", purpose)})),
    st.tuples(st.just("issued.eku-differs"), st.just({"eku": ()})),
    st.tuples(st.just("issued.is-ca"), st.just({"is_ca": True})),
    st.tuples(
        st.just("issued.validity-too-long"),
        st.integers(1, 10**9).map(lambda more: {"not_after": LEAF.not_after + timedelta(seconds=more)}),
    ),
    st.tuples(st.just("issued.issuer-differs"), st.just({"der": ELSEWHERE.der})),
)


def codes(issued: IssuedCertificate, approved: ApprovedFields = APPROVED) -> set[str]:
    return {found.code for found in compare_with_approved(issued, approved)}


@patient
@given(changes)
def test_each_single_change_is_found_and_nothing_else_is_blamed(
    change: tuple[str, dict[str, object]],
) -> None:
    code, fields = change
    assert codes(replace(ISSUED, **fields)) == {code}  # type: ignore[arg-type]  # the field is drawn with its value


@patient
@given(st.lists(changes, min_size=2, max_size=5, unique_by=lambda change: next(iter(change[1]))))
def test_several_changes_are_all_found(drawn: list[tuple[str, dict[str, object]]]) -> None:
    fields = {name: value for _, change in drawn for name, value in change.items()}
    assert codes(replace(ISSUED, **fields)) == {code for code, _ in drawn}  # type: ignore[arg-type]  # as above


@patient
@given(st.datetimes(max_value=datetime(2027, 4, 1)), st.permutations(NAMES.dns))  # noqa: DTZ001 - given its zone below
def test_an_earlier_end_and_another_order_of_names_are_no_difference(end: datetime, dns: list[str]) -> None:
    shorter = min(end.replace(tzinfo=LEAF.not_after.tzinfo), LEAF.not_after)
    same = replace(ISSUED, not_after=shorter, names=NAMES.model_copy(update={"dns": tuple(dns)}))
    assert codes(same) <= {"issued.validity-shorter"}


def test_another_intermediate_of_the_same_ca_is_another_issuer() -> None:
    assert codes(ISSUED, replace(APPROVED, issuer=UPPER.issue())) == {"issued.issuer-differs"}
