"""A policy that is written down and read again is the same policy."""

import json
from typing import Any

import pytest
from hypothesis import given, settings

from shared.policy.model import PolicyFile
from shared.policy.policy import Policy
from shared.policy.resolution import ResolvedPolicy, resolve
from shared.x509.profiles import Editor, ExtensionProfile, NamesRule
from tests import world
from tests.golden import golden
from tests.property.asking import Asked
from tests.property.drawing import good_requests
from tests.vectors.x509.builders import patient

GOLDEN = sorted({case.given["policy"] for case in golden.cases()})


def resolved(policy: Policy) -> list[ResolvedPolicy]:
    """What every choice that the policy allows comes to."""
    return [
        resolve(
            policy,
            signing_certificate=name,
            approval_group=group,
            extension_profile=extensions,
            dn_profile=dn,
            signature_hash=signature_hash,
        )
        for name, signing in policy.file.signing_certificates.items()
        for group in sorted(signing.approval_groups)
        for extensions in sorted(signing.extension_profiles)
        for dn in sorted(signing.dn_profiles)
        for signature_hash in (None, *signing.signature_hashes)
    ]


def toml_of(table: dict[str, Any]) -> str:
    """The table as TOML (https://toml.io/en/v1.0.0): each of its entries on one line, all that is below it inline."""
    return "".join(f"{_inline(name)} = {_inline(value)}\n" for name, value in table.items() if value is not None)


def _inline(value: Any) -> str:
    match value:
        case dict():
            entries = (f"{_inline(name)} = {_inline(each)}" for name, each in value.items() if each is not None)
            return f"{{ {', '.join(entries)} }}"
        case list():
            return f"[{', '.join(_inline(each) for each in value)}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def reread(policy: Policy) -> Policy:
    """The policy written as TOML and read again, as a duty reads it."""
    text = toml_of(policy.file.model_dump(mode="json"))
    return world.policy(text)


@settings(patient, max_examples=100)
@given(good_requests())
def test_a_policy_survives_json_and_means_the_same(asked: Asked) -> None:
    policy = asked.policy
    again = PolicyFile.model_validate(json.loads(json.dumps(policy.file.model_dump(mode="json"))), strict=False)
    assert again == policy.file
    assert PolicyFile.model_validate_json(policy.file.model_dump_json()) == policy.file


@settings(patient, max_examples=50)
@given(good_requests())
def test_a_policy_survives_toml_and_resolves_to_the_same(asked: Asked) -> None:
    policy = asked.policy
    again = reread(policy)
    assert again.file == policy.file
    assert resolved(again) == resolved(policy)


@pytest.mark.parametrize("name", GOLDEN)
def test_each_golden_policy_survives_being_written_and_read(name: str) -> None:
    policy = golden.policy_of(name)
    again = reread(policy)
    assert (again.file, resolved(again)) == (policy.file, resolved(policy))
    assert [each.code for each in again.warnings] == [each.code for each in policy.warnings]


@settings(patient, max_examples=50)
@given(good_requests())
def test_what_a_policy_resolves_to_survives_being_signed_over(asked: Asked) -> None:
    for each in resolved(asked.policy):
        assert ResolvedPolicy.read(each.canonical(), code="policy.invalid") == each


def test_what_is_signed_over_has_the_same_bytes_in_whatever_order_its_sets_come() -> None:
    editors = frozenset({Editor.REQUESTER, Editor.APPROVER})
    oids = frozenset(f"1.2.{arc}" for arc in range(20))
    profile = ExtensionProfile(extensions=(NamesRule(editable_by=editors),), user_defined_extensions=oids)
    said = json.loads(profile.canonical())
    assert said["extensions"][0]["editable_by"] == sorted(editors)
    assert said["user_defined_extensions"] == sorted(oids)
