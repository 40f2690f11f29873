"""A policy counts with two officers' signatures, and never gives way to an older one."""

from datetime import timedelta

import pytest

from shared.errors import RefusedError
from shared.evidence.dual_control import (
    Officer,
    PolicySignatures,
    check_dual_control,
    check_not_older,
    sign_policy,
    with_signature,
)
from shared.evidence.jws import Typ
from shared.policy.policy import Policy
from shared.vocabulary.names import PersonName
from tests import world
from tests.world import NOW, signing_key

OFFICERS = tuple(
    Officer(name=PersonName(name), key=signing_key(f"officer-{name}").public) for name in ("petra", "quentin", "rosa")
)


def _signed(policy: Policy, *names: str) -> PolicySignatures:
    signatures = PolicySignatures()
    for name in names:
        key = signing_key(f"officer-{name}")
        signatures = with_signature(signatures, policy, sign_policy(policy, key, at=NOW), key=key.public)
    return signatures


def _codes(policy: Policy, signatures: PolicySignatures) -> list[str]:
    with pytest.raises(RefusedError) as refused:
        check_dual_control(policy, signatures, OFFICERS, now=NOW)
    return [found.code for found in refused.value.findings]


def test_two_officers_make_a_policy_count() -> None:
    policy = world.policy()
    check_dual_control(policy, _signed(policy, "petra", "rosa"), OFFICERS, now=NOW)


def test_an_unsigned_policy_does_not_count() -> None:
    assert _codes(world.policy(), PolicySignatures()) == ["policy.not-countersigned"]


def test_one_officer_alone_does_not_make_it_count_however_often_they_sign() -> None:
    policy = world.policy()
    twice = PolicySignatures(
        signatures=(
            sign_policy(policy, signing_key("officer-petra"), at=NOW),
            sign_policy(policy, signing_key("officer-petra"), at=NOW + timedelta(seconds=1)),
        )
    )
    assert _codes(policy, twice) == ["policy.not-countersigned"]


def test_a_stranger_does_not_count_as_the_second_officer() -> None:
    policy = world.policy()
    assert _codes(policy, _signed(policy, "petra", "mallory")) == ["policy.not-countersigned", "evidence.unknown-key"]


def test_one_person_with_two_keys_counts_once() -> None:
    policy = world.policy()
    officers = (OFFICERS[0], Officer(name=OFFICERS[0].name, key=OFFICERS[1].key))
    with pytest.raises(RefusedError):
        check_dual_control(policy, _signed(policy, "petra", "quentin"), officers, now=NOW)


def test_a_change_after_signing_voids_the_signatures() -> None:
    signatures = _signed(world.policy(), "petra", "rosa")
    changed = world.policy(world.policy_text().replace("quorum = 2", "quorum = 1"))
    assert _codes(changed, signatures) == ["policy.not-countersigned", *["policy.signature-differs"] * 2]


def test_a_signature_of_another_step_does_not_serve() -> None:
    policy = world.policy()
    other = signing_key("officer-petra").sign(b"{}", Typ.VERDICT, NOW)
    signatures = PolicySignatures(signatures=(*_signed(policy, "rosa").signatures, other))
    assert _codes(policy, signatures) == ["policy.not-countersigned", "evidence.wrong-typ"]


def test_signing_a_changed_policy_drops_the_signatures_of_what_it_was() -> None:
    old = world.policy()
    new = world.policy(world.policy_text().replace("serial = 1", "serial = 2"))
    key = signing_key("officer-rosa")
    signatures = with_signature(_signed(old, "petra", "rosa"), new, sign_policy(new, key, at=NOW), key=key.public)
    assert len(signatures.signatures) == 1


def test_a_policy_gives_way_only_to_a_newer_one() -> None:
    first = world.policy()
    second = world.policy(world.policy_text().replace("serial = 1", "serial = 2"))
    other = world.policy(world.policy_text().replace("quorum = 2", "quorum = 3"))
    check_not_older(first, serial=first.serial, digest=first.digest)
    check_not_older(second, serial=first.serial, digest=first.digest)
    for policy, code in ((first, "policy.older"), (other, "policy.serial-reused")):
        known = second if code == "policy.older" else first
        with pytest.raises(RefusedError) as refused:
            check_not_older(policy, serial=known.serial, digest=known.digest)
        assert [found.code for found in refused.value.findings] == [code]
