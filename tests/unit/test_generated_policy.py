"""What a policy must say before the issuer makes key pairs."""

import pytest

from shared.errors import RefusedError
from shared.policy.model import GeneratedRules
from shared.vocabulary.findings import Severity
from tests import world


def mistakes(text: str) -> list[str]:
    with pytest.raises(RefusedError) as refused:
        world.policy(text)
    return [found.code for found in refused.value.findings if found.severity is Severity.ERROR]


def test_key_pairs_of_public_certificates_are_made_only_where_the_subscriber_runs_the_ra() -> None:
    assert mistakes(world.generating_policy(own=False)) == ["policy.generated-for-public"]
    signing = world.policy(world.generating_policy()).signing_certificate("public-tls")
    assert signing is not None
    assert signing.generates == GeneratedRules()


def test_without_an_opening_key_in_use_nobody_could_seal_a_password() -> None:
    retired = world.generating_policy(('" }\n\n[duties.intake]', '" }\nretired = true\n\n[duties.intake]'))
    assert mistakes(retired) == ["policy.opening-key-missing"]
    keys = f'[[opening_keys]]\nkey = {{ kty = "OKP", crv = "X25519", x = "{world.opening_key().public.x}" }}\n\n'
    assert mistakes(world.generating_policy((keys, ""))) == ["policy.opening-key-missing"]
    assert mistakes(world.generating_policy((keys, keys + keys))) == ["policy.opening-key-twice"]


def test_what_is_held_is_always_erased_some_day() -> None:
    text = "generated = { erase_after_download = false, erase_after_hours = 0 }\nenrollment_methods ="
    assert mistakes(world.generating_policy(("enrollment_methods =", text))) == ["policy.invalid"]
    text = "generated = { password_min_length = 20, pkcs12_3des = true }\nenrollment_methods ="
    signing = world.policy(world.generating_policy(("enrollment_methods =", text))).signing_certificate("public-tls")
    assert signing is not None
    rules = signing.generates
    assert rules is not None
    assert (rules.password.min_length, rules.pkcs12_3des) == (20, True)


@pytest.mark.parametrize("kind", ["ed25519", "ml-dsa-65"])
def test_a_public_ca_certifies_no_key_of_these_types(kind: str) -> None:
    assert mistakes(world.policy_text(**{'"ecdsa-p384"': f'"{kind}"'})) == ["policy.key-type-not-deliverable"]
