"""Every mistake in a policy is found, at once, each with its place."""

import re

import pytest

from shared.errors import RefusedError
from shared.options import options_for
from shared.policy.checking import MOST_OPTIONS_BYTES, MOST_RESOLVED_BYTES
from shared.policy.policy import Policy, parse_policy, read_policy
from shared.policy.resolution import resolve
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding, Severity
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

UNUSED_GROUP = f"""[identities.zoe]
kind = "person"
person = "zoe"
keys = [{{ kty = "OKP", crv = "Ed25519", x = "{signing_key("zoe").public.x}" }}]
permissions.mail = ["decide"]
[approval_groups.mail]
quorum = 1
[approval_groups.web]"""
SECOND_GROUP = "[approval_groups.mail]\nquorum = 1\n\n[approval_groups.web]"


def findings_of(text: str) -> tuple[Finding, ...]:
    """The mistakes; warnings come with them and refuse nothing."""
    with pytest.raises(RefusedError) as refused:
        world.policy(text)
    return tuple(each for each in refused.value.findings if each.severity is Severity.ERROR)


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
    "a quorum that cannot be reached": ("quorum = 2", "quorum = 4", "policy.quorum-out-of-reach", "): 3 people"),
    "a group in which nobody decides": (
        "[approval_groups.web]",
        SECOND_GROUP,
        "policy.quorum-out-of-reach",
        "): 0 people",
    ),
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
    "rules for a method that it has not": (
        'trust = "public"\n',
        'trust = "public"\ngenerated = { erase_after_hours = 1 }\n',
        "policy.generated-idle",
        "signing_certificates.public-tls",
    ),
    "names that the CA cannot deliver": (
        'kinds = ["dns"]',
        'kinds = ["dns", "ip"]',
        "policy.names-not-deliverable",
        "ip",
    ),
    "a usage that the CA cannot deliver": (
        'fixed = ["serverAuth"]',
        'fixed = ["clientAuth"]',
        "policy.usage-not-deliverable",
        "extendedKeyUsage",
    ),
    "a purpose that the CA has not": (
        'fixed = ["serverAuth"]',
        'fixed = ["serverAuth", "codeSigning"]',
        "policy.usage-not-deliverable",
        "codeSigning",
    ),
    "a key usage that the CA has not": (
        'fixed = ["digitalSignature"]',
        'fixed = ["digitalSignature", "keyAgreement"]',
        "policy.usage-not-deliverable",
        "keyAgreement",
    ),
    "an extension that the CA has not": (
        'type = "basicConstraints"\ncritical = true\nfixed = ["CA:FALSE"]',
        'type = "1.2.3.4"\nfixed = ["BQA="]',
        "policy.extension-not-deliverable",
        "1.2.3.4",
    ),
    "extensions of one's own, which the CA has not": (
        "user_defined_extensions = []",
        'user_defined_extensions = ["1.2.3.4"]',
        "policy.extension-not-deliverable",
        "1.2.3.4",
    ),
    "certificate policies, which are the CA's own": (
        'type = "basicConstraints"\ncritical = true\nfixed = ["CA:FALSE"]',
        'type = "certificatePolicies"\nfixed = ["2.23.140.1.2.2"]',
        "policy.extension-not-deliverable",
        "the CA's own",
    ),
    "alternative names that may be missing": (
        'kinds = ["dns"]',
        'kinds = ["dns"]\nrequired = false',
        "policy.names-not-deliverable",
        "tls-server",
    ),
    "alternative names from nowhere": (
        'editable_by = ["requester", "approver"]\nkinds',
        "from_csr = false\nkinds",
        "policy.profile-unsatisfiable",
        "tls-server",
    ),
    "wildcards of a product without them": (
        'product = "ssl_basic"',
        'product = "ssl_ev_basic"',
        "policy.names-not-deliverable",
        "wildcards",
    ),
    "a product of the other trust": ('trust = "public"', 'trust = "private"', "policy.trust-differs", "ssl_basic"),
    "a key type that no public CA certifies": (
        '"ecdsa-p384"]',
        '"ecdsa-p384", "ed25519"]',
        "policy.key-type-not-deliverable",
        "ed25519",
    ),
    "a submitter that there is not": (
        "max_validity_days = 199",
        'max_validity_days = 199\nsubmitters = ["shop", "sopp"]',
        "policy.unknown-reference",
        "did you mean shop",
    ),
    "a submitter that may not submit": (
        "max_validity_days = 199",
        'max_validity_days = 199\nsubmitters = ["shop", "olga"]',
        "policy.submitter-without-permission",
        "olga",
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


TOGETHER = (
    "an identity named as a duty",
    "a group in which nobody decides",
    "one key of two owners",
    "a DN profile that there is not",
    "rules for a method that it has not",
    "names that the CA cannot deliver",
    "a usage that the CA cannot deliver",
    "an extension that the CA has not",
    "a submitter that may not submit",
    "an imported certificate of somebody else",
)


def test_all_mistakes_are_named_at_once() -> None:
    text = policy_text()
    for name in TOGETHER:
        text = replaced(*CROSS[name][:2], text)
    assert {each.code for each in findings_of(text)} == {CROSS[name][2] for name in TOGETHER}


def test_a_usage_that_no_allowed_key_is_good_for_is_named() -> None:
    text = replaced('fixed = ["digitalSignature"]', 'fixed = ["digitalSignature", "keyEncipherment"]')
    text = replaced('key_types = ["rsa-2048", "rsa-3072", "rsa-4096", ', "key_types = [", text)
    (found,) = findings_of(text)
    assert found.code == "policy.profile-unsatisfiable"
    assert "keyEncipherment, which only RSA keys can do" in found.message


def test_mistakes_of_form_do_not_hide_those_of_sense() -> None:
    text = replaced("quorum = 2", "quorum = 2\nquorom = 1")
    text = replaced('dn_profiles = ["server"]', 'dn_profiles = ["servre"]', text)
    text = replaced('kind = "system"\ndescription = "The web', 'kind = "sytem"\ndescription = "The web', text)
    messages = [each.message for each in findings_of(text)]
    assert len(messages) == 3
    assert any("did you mean quorum?" in each for each in messages)
    assert any("did you mean server?" in each for each in messages)
    assert any("identities.shop.kind" in each for each in messages)


def test_each_place_has_the_line_it_stands_in() -> None:
    text = replaced("quorum = 2", "quorum = 0")
    line = text.splitlines().index("quorum = 0") + 1
    (found,) = findings_of(text)
    assert found.message.startswith(f"approval_groups.web.quorum (line {line}): ")


def test_the_line_of_an_entry_in_a_list_of_tables_is_its_own() -> None:
    text = replaced('type = "CN"\nrequired = true', 'type = "CN"\nrequired = 7')
    line = text.splitlines().index("required = 7") + 1
    (found,) = findings_of(text)
    assert f"(line {line})" in found.message


WARNINGS: dict[str, tuple[str, str, str]] = {
    "who asks may agree": ("quorum = 2", "quorum = 2\nrequester_counts = true", "policy.requester-counts"),
    "who edits may agree": ("quorum = 2", "quorum = 2\neditor_may_approve = true", "policy.editor-approves"),
    "too few are left when an approver asks": ("quorum = 2", "quorum = 3", "policy.quorum-tight"),
    "an unknown product": ('product = "ssl_basic"', 'product = "ssl_something"', "policy.product-unknown"),
    "more days than the CA grants": (
        "max_validity_days = 199",
        "max_validity_days = 300",
        "policy.validity-not-deliverable",
    ),
    "a group that nobody uses": (
        "[approval_groups.web]",
        UNUSED_GROUP,
        "policy.unused",
    ),
    "a permission that does nothing": (
        'permissions.web = ["submit", "submit_on_behalf", "view"]',
        'permissions.web = ["submit_on_behalf", "view"]',
        "policy.permission-idle",
    ),
}


@pytest.mark.parametrize(("old", "new", "code"), WARNINGS.values(), ids=WARNINGS)
def test_what_is_allowed_but_odd_is_warned_of(old: str, new: str, code: str) -> None:
    policy = world.policy(replaced(old, new))
    assert code in {each.code for each in policy.warnings}
    assert {each.severity for each in policy.warnings} == {Severity.WARNING}


def test_the_example_gives_no_cause_for_a_warning() -> None:
    assert world.policy().warnings == ()


def test_a_duty_without_a_key_is_named() -> None:
    without = re.sub(r"\[duties\.revoker\]\nkeys = .*\n", "", policy_text())
    assert [each.code for each in findings_of(without)] == ["policy.duty-without-key"]


SHAPES: dict[str, tuple[str, str, str]] = {
    "a pattern that is none": ('pattern = "[A-Z]{2}"', 'pattern = "["', "dn_profiles.server.attributes.0"),
    "a default that its own pattern refuses": (
        'pattern = "[A-Z]{2}"',
        'pattern = "[A-Z]{2}"\ndefault = "gb"',
        "it must match [A-Z]{2}",
    ),
    "more characters than X.520 grants": (
        "required = true\n",
        "required = true\nmax_length = 65\n",
        "X.520 grants CN 64",
    ),
    "a pattern that is one in parentheses only": ('"[A-Z]{2}"', '"a)|(?:b"', "`pattern` is no regular expression"),
    "a pattern with a comment": ('"[A-Z]{2}"', '"(?x)[A-Z]{2} # a country"', "`pattern` is no regular expression"),
    "a pattern that looks back": ('"[A-Z]{2}"', "'([A-Z])\\1'", "back-references"),
    "a pattern without end": ('"[A-Z]{2}"', f'"[A-Z]{{{"9" * 30}}}"', "`pattern` is no regular expression"),
    "an attribute required from nowhere": (
        'required = true\neditable_by = ["requester", "approver"]',
        "required = true\nfrom_csr = false",
        "attributes.2",
    ),
    "an attribute that approvers alone may enter": (
        'required = true\neditable_by = ["requester", "approver"]',
        'required = true\nfrom_csr = false\neditable_by = ["approver"]',
        "attributes.2",
    ),
    "an extension that the CA alone writes": (
        'type = "keyUsage"\ncritical = true\nfixed = ["digitalSignature"]',
        'type = "2.5.29.35"\nfixed = ["BQA="]',
        "the CA alone writes",
    ),
    "an extension that the CA alone writes, of one's own": (
        "user_defined_extensions = []",
        'user_defined_extensions = ["1.3.6.1.4.1.11129.2.4.3"]',
        "the CA alone writes",
    ),
    "a fixed value that may be entered": (
        'fixed = "Example Ltd"',
        'fixed = "Example Ltd"\neditable_by = ["requester"]',
        "`fixed`",
    ),
    "an attribute that there is not": ('type = "CN"', 'type = "common"', "attributes.2.type"),
    "an attribute twice": ('type = "CN"', 'type = "2.5.4.6"', "more of: C"),
    "an extension that there is not": ('type = "keyUsage"', 'type = "keyUse"', "extensions.1.type"),
    "an extension twice": ('type = "keyUsage"', 'type = "2.5.29.37"', "extensions"),
    "a key usage that there is not": ('fixed = ["digitalSignature"]', 'fixed = ["sign"]', "a key usage is one of"),
    "a CA": ('fixed = ["CA:FALSE"]', 'fixed = ["CA:TRUE"]', "extensions.3 (line"),
    "a CA that may be asked for": ('fixed = ["CA:FALSE"]', 'from_csr = true\nallowed = ["CA:TRUE"]', "may sign others"),
    "a usage that signs certificates": ('"digitalSignature"]', '"digitalSignature", "keyCertSign"]', "may sign others"),
    "usages that do not go together": ('"digitalSignature"]', '"encipherOnly"]', "extensions.1 (line"),
    "content that is no DER": (
        'type = "basicConstraints"\ncritical = true\nfixed = ["CA:FALSE"]',
        'type = "1.2.3.4"\nfixed = ["BQ=="]',
        "not DER",
    ),
    "reminders that come too late": (
        "reminders_hours = [24, 72, 168]",
        "reminders_hours = [24, 336]",
        "reminders_hours",
    ),
    "reminders out of order": ("reminders_hours = [24, 72, 168]", "reminders_hours = [72, 24]", "reminders_hours"),
    "a domain with a wildcard": ('"example.com", ', '"*.example.com", ', "dns_suffixes"),
    "an address that is none": (
        'permissions.web = ["submit"]',
        'emails = ["nobody"]\npermissions.web = ["submit"]',
        "shop.emails",
    ),
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
    "a quorum in words": ("quorum = 2", 'quorum = "2"', "approval_groups.web.quorum"),
    "a quorum that is a truth": ("quorum = 2", "quorum = true", "approval_groups.web.quorum"),
    "a truth in words": ("must_sign = true", 'must_sign = "no"', "identities.shop.must_sign"),
    "a truth that is a number": ("required = true\n", "required = 1\n", "attributes.2.required"),
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
    "a file that no system can have": ('"imported.pem"', '"imported\\u0000.pem"', "public-tls.certificate_file"),
    "a number that nobody can write down": (
        "organization_id = 1",
        f"organization_id = 0x{'f' * 5000}",
        "public-tls.organization_id",
    ),
}


@pytest.mark.parametrize(("old", "new", "place"), SHAPES.values(), ids=SHAPES)
def test_what_has_another_shape_is_named_with_its_place_and_without_its_value(old: str, new: str, place: str) -> None:
    found = findings_of(replaced(old, new))
    assert "policy.invalid" in {each.code for each in found}
    assert any(place in each.message for each in found)
    assert not any("secret" in shown(each) for each in found)


@pytest.mark.parametrize(
    "text",
    [
        *(b"\xff", b"version = ", b"a = 1\na = 2", b"[a\n", b"version = no"),
        pytest.param(b"version = " + b"9" * 5000, id="an endless number"),
        pytest.param(b"version = " + b"[" * 5000, id="endless nesting"),
    ],
)
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
    places = [each.message.split(" (line")[0] for each in refused.value.findings]
    assert places == [
        "signing_certificates.public-tls.certificate_file",
        "signing_certificates.public-tls.intermediate_file",
    ]


def _with_suffixes(count: int) -> str:
    listed = ", ".join(f'"h{number:04}.example.org"' for number in range(count))
    return replaced('"example.org"]', f"{listed}]")


def test_profiles_that_would_fit_into_no_message_are_named_with_the_signing_certificate_that_joins_them() -> None:
    world.policy(_with_suffixes(700))
    (found,) = findings_of(_with_suffixes(900))
    assert found.code == "policy.too-large"
    for place in ("signing_certificates.public-tls (", "extension_profiles.tls-server (", "dn_profiles.server ("):
        assert place in found.message
    assert int(found.value or 0) > MOST_RESOLVED_BYTES


def test_more_to_pick_than_fits_into_one_answer_is_a_mistake_of_the_whole_file() -> None:
    values = ", ".join(f'"{number:0100}"' for number in range(100))
    profile = f"""attributes = [{{ type = "2.5.4.99", allowed = [{values}] }}]\n"""
    many = "".join(f"[dn_profiles.d{number}]\n{profile}" for number in range(50))
    (found,) = findings_of(policy_text() + many)
    assert (found.code, found.message[:9]) == ("policy.too-large", "the file:")
    policy = world.policy(policy_text() + many.partition("[dn_profiles.d45]")[0])
    assert len(options_for(None, policy).canonical()) < MOST_OPTIONS_BYTES


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
