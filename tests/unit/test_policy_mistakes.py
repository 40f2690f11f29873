"""Every mistake in a policy is found, at once, each with its place."""

import re

import pytest

from shared.errors import RefusedError
from shared.policy.policy import Policy, parse_policy, read_policy
from shared.policy.resolution import resolve
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding
from shared.vocabulary.keys import PublicKey
from shared.vocabulary.names import (
    ApprovalGroupName,
    DnProfileName,
    ExtensionProfileName,
    SigningCertificateName,
)
from shared.vocabulary.permissions import Permission
from tests import world
from tests.world import pem, policy_text, shared_ca, signing_key

SECOND_GROUP = "[approval_groups.mail]\nquorum = 1\n\n[approval_groups.web]"


def findings_of(text: str) -> tuple[Finding, ...]:
    with pytest.raises(RefusedError) as refused:
        world.policy(text)
    return refused.value.findings


def shown(found: Finding) -> str:
    return f"{found.code}: {found.message} {found.value}"


def replaced(old: str, new: str, text: str | None = None) -> str:
    text = text or policy_text()
    assert old in text, f"the example has no {old!r}"
    return text.replace(old, new)


# What to replace by what, the code, and a piece of what is said about the place.
CROSS: dict[str, tuple[str, str, str, str]] = {
    "an identity named as a duty": (
        "[identities.carol]",
        "[identities.issuer]",
        "policy.identity-named-as-duty",
        "identities.issuer",
    ),
    "a permission for a group that there is not": (
        'permissions.web = ["view", "download", "revoke", "audit"]',
        'permissions.nowhere = ["view"]',
        "policy.unknown-reference",
        "identities.olga.permissions",
    ),
    "a quorum that cannot be reached": ("quorum = 2", "quorum = 4", "policy.quorum-out-of-reach", "web: 3 people"),
    "a group in which nobody decides": (
        "[approval_groups.web]",
        SECOND_GROUP,
        "policy.quorum-out-of-reach",
        "mail: 0 people",
    ),
    "a pattern that is none": ('pattern = "[A-Z]{2}"', 'pattern = "["', "policy.pattern-invalid", "server.C"),
    "one key of two owners": (
        f'x = "{signing_key("ben").public.x}"',
        f'x = "{signing_key("alice").public.x}"',
        "policy.key-shared",
        "identities.ben",
    ),
    "an identity with a duty's key": (
        f'x = "{signing_key("shop").public.x}"',
        f'x = "{signing_key("approval").public.x}"',
        "policy.key-shared",
        "duties.approval",
    ),
    "two duties with one key": (
        f'x = "{signing_key("issuer").public.x}"',
        f'x = "{signing_key("intake").public.x}"',
        "policy.key-shared",
        "duties.issuer",
    ),
    "a signing certificate for a group that there is not": (
        'approval_groups = ["web"]',
        'approval_groups = ["web", "nowhere"]',
        "policy.unknown-reference",
        "approval group",
    ),
    "an extension profile that there is not": (
        'extension_profiles = ["tls-server"]',
        'extension_profiles = ["tls-server", "nothing"]',
        "policy.unknown-reference",
        "extension profile",
    ),
    "a DN profile that there is not": (
        'dn_profiles = ["server"]',
        'dn_profiles = ["server", "nothing"]',
        "policy.unknown-reference",
        "DN profile",
    ),
    "a key type that there is not": ('"ecdsa-p384"', '"rsa-512"', "policy.unknown-reference", "key_types"),
    "a method that there is not yet": (
        'enrollment_methods = ["csr"]',
        'enrollment_methods = ["csr", "generated"]',
        "policy.method-not-available",
        "signing_certificates.public-tls",
    ),
    "names that the CA cannot deliver": (
        'kinds = ["dns"]',
        'kinds = ["dns", "ip"]',
        "policy.names-not-deliverable",
        "ip",
    ),
    "a usage that the CA cannot deliver": (
        'extended_key_usage = ["serverAuth"]',
        'extended_key_usage = ["clientAuth"]',
        "policy.usage-not-deliverable",
        "clientAuth",
    ),
    "an intermediate that is no CA": (
        'intermediate_file = "intermediate.pem"',
        'intermediate_file = "imported.pem"',
        "policy.not-a-ca",
        "intermediate_file",
    ),
    "an imported certificate of somebody else": (
        'certificate_file = "imported.pem"',
        'certificate_file = "intermediate.pem"',
        "policy.imported-not-issued-by-intermediate",
        "public-tls",
    ),
}


@pytest.mark.parametrize(("old", "new", "code", "place"), CROSS.values(), ids=CROSS)
def test_each_mistake_is_named_with_its_place_and_nothing_else_is(old: str, new: str, code: str, place: str) -> None:
    found = findings_of(replaced(old, new))
    assert {each.code for each in found} == {code}
    assert any(place in shown(each) for each in found)


def test_all_mistakes_are_named_at_once() -> None:
    text, codes = policy_text(), set()
    clashing = {"an intermediate that is no CA"}  # it would change the very line that another mistake is in
    for name, (old, new, code, _) in CROSS.items():
        if name not in clashing and old in text:
            text = text.replace(old, new)
            codes.add(code)
    assert len(codes) >= 9
    assert {each.code for each in findings_of(text)} == codes


def test_a_duty_without_a_key_is_named() -> None:
    without = re.sub(r"\[duties\.revoker\]\nkeys = .*\n", "", policy_text())
    assert [each.code for each in findings_of(without)] == ["policy.duty-without-key"]


SHAPES: dict[str, tuple[str, str, str]] = {
    "an unknown table": ("version = 1", "version = 1\n[surprise]\nx = 1", "surprise"),
    "an unknown field of an identity": ('kind = "system"', 'kind = "system"\nadmin = true', "admin"),
    "an unknown field of a group": ("quorum = 2", "quorum = 2\nquorom = 1", "approval_groups.web.quorom"),
    "an unknown permission": ('"audit"]', '"audit", "root"]', "olga.permissions.web"),
    "an unknown duty": ("[duties.revoker]", "[duties.printer]", "duties.printer"),
    "another version": ("version = 1", "version = 2", "version"),
    "a name that stretches a routing key": ("[identities.shop]", '[identities."shop.x"]', "identities"),
    "a name that is a pattern": ("[identities.shop]", '[identities."#"]', "identities"),
    "no quorum at all": ("quorum = 2", "", "approval_groups.web.quorum"),
    "a quorum of nobody": ("quorum = 2", "quorum = 0", "approval_groups.web.quorum"),
    "a quorum of many": ("quorum = 2", "quorum = 21", "approval_groups.web.quorum"),
    "a system that decides": ('permissions.web = ["submit"]', 'permissions.web = ["decide"]', "identities.shop"),
    "a person without a name": ('person = "carol"\n', "", "identities.carol"),
    "a system with a person": ('kind = "system"', 'kind = "system"\nperson = "shop"', "identities.shop"),
    "an approver without a key": (
        f'keys = [{{ kty = "OKP", crv = "Ed25519", x = "{signing_key("carol").public.x}" }}]\n',
        "",
        "identities.carol",
    ),
    "who must sign and has no key": ("must_sign = false", "must_sign = true", "identities.portal"),
    "a private key": ('crv = "Ed25519", x', 'crv = "Ed25519", d = "secret", x', "keys"),
    "a key of another kind": ('crv = "Ed25519"', 'crv = "X25519"', "crv"),
    "a key cut short": (signing_key("shop").public.x, signing_key("shop").public.x[:-1], "shop.keys"),
    "no profile": ('dn_profiles = ["server"]', "dn_profiles = []", "public-tls.dn_profiles"),
    "no name kinds": ('kinds = ["dns"]', "kinds = []", "kinds"),
    "a certificate for ever": ("max_validity_days = 199", "max_validity_days = 99999", "max_validity_days"),
    "another CA": ('ca = "digicert"', 'ca = "myself"', "public-tls.ca"),
    "a path instead of a product": ('product = "ssl_basic"', 'product = "../account"', "product"),
}


@pytest.mark.parametrize(("old", "new", "place"), SHAPES.values(), ids=SHAPES)
def test_what_has_another_shape_is_named_with_its_place_and_without_its_value(old: str, new: str, place: str) -> None:
    found = findings_of(replaced(old, new))
    assert {each.code for each in found} == {"policy.invalid"}
    assert any(place in each.message for each in found)
    assert not any("secret" in shown(each) for each in found)


@pytest.mark.parametrize("text", [b"\xff", b"version = ", b"a = 1\na = 2", b"[a\n", b"version = no"])
def test_what_is_no_toml_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(RefusedError) as refused:
        parse_policy(text, lambda _: b"")
    assert [each.code for each in refused.value.findings] == ["policy.not-toml"]


def _with_files(imported: bytes, intermediate: bytes) -> Policy:
    files = {"imported.pem": imported, "intermediate.pem": intermediate}
    return parse_policy(policy_text().encode(), files.__getitem__)


@pytest.mark.parametrize("broken", [b"", b"hello", pem(shared_ca().intermediate)[:-60]])
def test_certificate_files_that_are_none_are_both_named(broken: bytes) -> None:
    with pytest.raises(RefusedError) as refused:
        _with_files(broken, broken)
    places = [each.message.split(":")[0] for each in refused.value.findings]
    assert places == [
        "signing_certificates.public-tls.certificate_file",
        "signing_certificates.public-tls.intermediate_file",
    ]


def test_the_example_is_a_good_policy() -> None:
    policy = world.policy()
    assert policy.deciders("web") == {"alice", "ben", "carol"}
    assert policy.person_of("ben") == "ben"
    assert policy.person_of("shop") is policy.person_of("nobody") is None
    assert set(policy.file.duties) == set(Duty)


def test_the_example_as_it_is_delivered_lacks_nothing_but_the_certificate_files() -> None:
    with pytest.raises(RefusedError) as refused:
        read_policy(world.EXAMPLE_POLICY)
    assert {each.code for each in refused.value.findings} == {"policy.unreadable"}


def test_a_policy_file_that_is_not_there_is_named() -> None:
    with pytest.raises(RefusedError) as refused:
        read_policy(world.EXAMPLE_POLICY.with_name("nothing.toml"))
    assert [each.code for each in refused.value.findings] == ["policy.unreadable"]


def test_the_digest_of_a_policy_changes_with_every_byte_and_with_its_certificates() -> None:
    text = policy_text()
    other = pem(world.Ca().intermediate)
    assert world.policy(text).digest == world.policy(text).digest
    assert world.policy(text + "# a comment\n").digest != world.policy(text).digest
    with pytest.raises(RefusedError):
        _with_files(pem(world._imported()), other)


def test_a_permission_holds_for_its_own_group_only() -> None:
    alice = world.policy().identity("alice")
    assert alice is not None
    assert alice.may(Permission.DECIDE, ApprovalGroupName("web"))
    assert not alice.may(Permission.DECIDE, ApprovalGroupName("we"))
    assert not alice.may(Permission.SUBMIT, ApprovalGroupName("web"))


def test_choices_that_do_not_go_together_are_all_named() -> None:
    with pytest.raises(RefusedError) as refused:
        resolve(
            world.policy(),
            signing_certificate=SigningCertificateName("public-tls"),
            approval_group=ApprovalGroupName("nowhere"),
            extension_profile=ExtensionProfileName("nothing"),
            dn_profile=DnProfileName("server"),
        )
    assert [each.code for each in refused.value.findings] == [
        "request.unknown-approval-group",
        "request.unknown-extension-profile",
    ]


def test_a_profile_that_another_signing_certificate_has_is_not_allowed_for_this_one() -> None:
    text = replaced("[approval_groups.web]", "[approval_groups.mail]\nquorum = 1\n\n[approval_groups.web]")
    text = replaced(
        'permissions.web = ["decide", "view"]', 'permissions.web = ["decide"]\npermissions.mail = ["decide"]', text
    )
    with pytest.raises(RefusedError) as refused:
        resolve(
            world.policy(text),
            signing_certificate=SigningCertificateName("public-tls"),
            approval_group=ApprovalGroupName("mail"),
            extension_profile=ExtensionProfileName("tls-server"),
            dn_profile=DnProfileName("server"),
        )
    assert [each.code for each in refused.value.findings] == ["request.approval-group-not-allowed"]


def test_a_public_key_names_itself_by_its_thumbprint() -> None:
    """RFC 8037, appendix A.3."""
    key = PublicKey(x="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
