"""What fits a policy is accepted and becomes a good certificate that holds just that; what does not fit is refused."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time
from unittest.mock import patch

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shared import screening
from shared.lint.linter import lint
from shared.policy.fitness import RULES, Rule
from shared.screening import LINT_KINDS, Screened, screen, template_of
from shared.vocabulary.findings import Severity, refuses
from tests.golden import recipes
from tests.property.asking import MISTAKES, Asked, Spoil, Values, key, spelled
from tests.property.drawing import any_requests, good_requests, wild_requests
from tests.vectors.x509.builders import patient

OWN = {"2.5.29.14", "2.5.29.15", "2.5.29.19", "2.5.29.31", "2.5.29.32", "2.5.29.35", "1.3.6.1.5.5.7.1.1"}
"""The extensions that a CA adds by itself."""
PLACEHOLDERS = [("2.5.4.6", "US"), ("2.5.4.7", "Locality"), ("2.5.4.10", "Organisation")]
"""What a public CA takes from the organisation, where the request says nothing."""
HOST = re.compile(r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]*[a-z][a-z0-9-]*")
HOST_LIKE = re.compile(r"[\w*-]+(?:\.[\w*-]+)+", re.ASCII)
UNSEEN = {"Cc", "Zl", "Zp"}
TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
UNIT = recipes.ATTRIBUTES["OU"][0]


def screened(asked: Asked) -> Screened:
    return screen(asked.content, asked.policy, today=asked.today)


def template(asked: Asked, found: Screened) -> bytes:
    assert found.proposal is not None
    return template_of(found.proposal, asked.policy.intermediates[found.proposal.resolved.signing_certificate])


# --- an independent look at a certificate ---------------------------------------------------------------------------


def check_subject(asked: Asked, certificate: x509.Certificate) -> None:
    got = [(each.oid.dotted_string, str(each.value)) for each in certificate.subject]
    number = {plan.type: recipes.ATTRIBUTES.get(plan.type, (plan.type,))[0] for plan in asked.subject}
    expected = [(number[plan.type], value) for plan in asked.subject for value in plan.final]
    if asked.public:
        added = Counter(got) - Counter(expected)
        assert Counter(expected) - Counter(got) == Counter(each for each in expected if each[0] == UNIT)
        assert added <= Counter(PLACEHOLDERS)
    else:
        assert got == expected
    for plan in asked.subject:
        values = [value for oid, value in expected if oid == number[plan.type]]
        assert len(values) <= plan.rule.get("max_values", 1)
        check_values(plan.rule, values, [plan.rule["fixed"]] if plan.rule.get("fixed") else None)


def check_values(rule: Values, values: Sequence[str], fixed: Sequence[str] | None) -> None:
    assert fixed is None or set(values) == set(fixed)
    assert not rule.get("allowed") or set(values) <= set(rule["allowed"])
    assert values or not rule.get("required")


def check_names(asked: Asked, certificate: x509.Certificate) -> None:
    found = [each for each in certificate.extensions if isinstance(each.value, x509.SubjectAlternativeName)]
    names = recipes.content_of("subjectAltName", sorted(asked.names.final))
    got = sorted(recipes.elements(found[0].value.public_bytes())) if found else []
    assert got == sorted(recipes.elements(names))
    if found:
        assert asked.names.rule is not None
        assert found[0].critical == (asked.names.rule["critical"] or not list(certificate.subject))


def check_extensions(asked: Asked, certificate: x509.Certificate) -> None:
    got = {each.oid.dotted_string: (each.critical, each.value.public_bytes()) for each in certificate.extensions}
    expected = {oid: (critical, recipes.content_of(oid, spelled(oid, (der,)))) for oid, critical, der in asked.own}
    for plan in asked.extensions:
        check_values(plan.rule, plan.final, plan.rule.get("fixed"))
        if plan.final:
            content = recipes.content_of(plan.type, spelled(plan.type, plan.final))
            expected[recipes.EXTENSIONS.get(plan.type, plan.type)] = (plan.rule["critical"], content)
    assert got | expected == got
    assert got.keys() - expected.keys() - OWN <= {"2.5.29.17"}


def check_signs_nothing(certificate: x509.Certificate) -> None:
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (constraints.ca, usage.key_cert_sign, usage.crl_sign) == (False, False, False)


def check_validity(asked: Asked, certificate: x509.Certificate) -> None:
    asked_for = asked.request.get("expires_on")
    last = certificate.not_valid_after_utc
    assert certificate.not_valid_before_utc == datetime.combine(asked.today, time(), UTC)
    assert last.time() == time(23, 59, 59)
    assert asked_for is None or last.date() == asked_for
    assert (last.date() - asked.today).days + 1 <= asked.signing["max_validity_days"]


# --- what must hold -------------------------------------------------------------------------------------------------


@settings(patient, max_examples=200)
@given(good_requests())
def test_what_fits_its_policy_is_accepted_and_becomes_a_good_certificate_that_holds_just_that(asked: Asked) -> None:
    event(f"trust: {'public' if asked.public else 'private'}; key: {asked.key_type}")
    found = screened(asked)
    assert [each for each in found.findings if each.severity is Severity.ERROR] == []
    der = template(asked, found)
    assert found.proposal is not None
    linted = lint(der, LINT_KINDS[found.proposal.resolved.trust])
    assert [each for each in linted if each.severity is Severity.ERROR] == []
    certificate = x509.load_der_x509_certificate(der)
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki == key(asked.key_type).spki
    check_subject(asked, certificate)
    check_names(asked, certificate)
    check_extensions(asked, certificate)
    check_signs_nothing(certificate)
    check_validity(asked, certificate)


@pytest.mark.parametrize(("code", "spoil"), MISTAKES.values(), ids=MISTAKES)
@settings(patient, max_examples=10)
@given(good=good_requests())
def test_one_mistake_in_what_fits_is_enough_to_refuse_it_and_is_named(code: str, spoil: Spoil, good: Asked) -> None:
    errors = {each.code for each in screened(spoil(good)).findings if each.severity is Severity.ERROR}
    assert code in errors


@settings(patient, max_examples=50)
@given(any_requests(), st.permutations(RULES))
def test_the_order_of_the_rules_changes_no_finding(asked: Asked, rules: list[Rule]) -> None:
    with patch.object(screening, "RULES", rules):
        shuffled = screened(asked)
    assert set(shuffled.findings) == set(screened(asked).findings)


@settings(patient, max_examples=50)
@given(any_requests())
def test_the_order_of_a_profile_s_own_rules_changes_no_finding(asked: Asked) -> None:
    turned = replace(asked, subject=asked.subject[::-1], extensions=asked.extensions[::-1])
    assert set(screened(turned).findings) == set(screened(asked).findings)


@settings(patient, max_examples=300)
@given(wild_requests("example.com"))
def test_no_name_gets_past_the_rules_however_it_is_written(asked: Asked) -> None:
    try:
        found = screened(asked)
    except ValidationError:
        return
    refused = refuses(found.findings)
    event(f"refused: {refused}")
    if refused:
        return
    certificate = x509.load_der_x509_certificate(template(asked, found))
    extensions = {type(each.value): each.value for each in certificate.extensions}
    names, purposes = extensions.get(x509.SubjectAlternativeName), extensions.get(x509.ExtendedKeyUsage, ())
    assert names is None or isinstance(names, x509.SubjectAlternativeName)
    dns = names.get_values_for_type(x509.DNSName) if names else []
    assert all(HOST.fullmatch(name) and f".{name}".endswith(".example.com") for name in dns)
    for common_name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        value = str(common_name.value)
        assert not any(
            unicodedata.category(each) in UNSEEN or unicodedata.bidirectional(each) in TURNING for each in value
        )
        if ExtendedKeyUsageOID.SERVER_AUTH in purposes or (not purposes and HOST_LIKE.fullmatch(value)):
            assert value.isascii()
            assert value.lower() in dns
