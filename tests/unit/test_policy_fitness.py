"""What does not fit the policy, the calendar or the rules of public trust is refused, with every reason."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from shared.contracts.envelope import MAX_MESSAGE_BYTES
from shared.evidence.steps import proposal_of
from shared.policy.fitness import check_request, last_day
from shared.policy.policy import Policy
from shared.policy.resolution import ResolvedPolicy
from shared.screening import screen
from shared.vocabulary.findings import Finding, refuses
from shared.x509.names import DistinguishedName
from tests import world
from tests.world import TODAY

WEAK = Path(__file__).parents[1] / "vectors" / "x509" / "weak" / "fermat-close.csr"


def _resolved(policy: Policy | None = None) -> ResolvedPolicy:
    return world.revision_of(world.content(), policy or world.policy()).policy


def _found(
    csr: str, *, expires_on: date | None = None, today: date = TODAY, policy: Policy | None = None
) -> list[Finding]:
    revision = world.revision_of(world.content(csr=csr, expires_on=expires_on), policy or world.policy())
    return check_request(proposal_of(revision, revision.policy, today=today))


def _codes(csr: str, *, expires_on: date | None = None, today: date = TODAY) -> set[str]:
    return {each.code for each in _found(csr, expires_on=expires_on, today=today)}


def test_an_ordinary_request_fits() -> None:
    assert _codes(world.make_csr("www.example.com", "example.com")) == set()


def test_a_key_whose_primes_lie_close_together_is_refused() -> None:
    assert "key.fermat-close" in _codes(WEAK.read_text())


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("*.co.uk",), "name.wildcard-public-suffix"),
        (("co.uk",), "name.public-suffix"),
        (("printer.local",), "name.dns-internal"),
        (("www.elsewhere.net",), "name.dns-outside"),
    ],
)
def test_names_that_no_public_certificate_may_have_are_refused(names: tuple[str, ...], code: str) -> None:
    assert code in _codes(world.make_csr(*names))


def test_a_pattern_that_could_be_tried_for_ages_is_decided_at_once() -> None:
    text = world.policy_text().replace('type = "CN"', 'type = "CN"\npattern = "([a-z]+[.]?)+"')
    policy = world.policy(text)
    assert "dn.value-not-allowed" in {each.code for each in _found(world.make_csr("a" * 63 + "!"), policy=policy)}
    assert _found(world.make_csr("www.example.com"), policy=policy) == []


def test_what_is_said_of_many_names_fits_into_one_answer_however_much_the_profile_lists() -> None:
    listed = ", ".join(f'"h{number}.example.org"' for number in range(700))
    policy = world.policy(world.policy_text().replace('"example.org"]', f"{listed}]"))
    names = [f"www{number}.elsewhere.net" for number in range(250)]
    found = [each for each in _found(world.make_csr(*names), policy=policy) if each.code == "name.dns-outside"]
    assert len(found) == len(names)
    assert sum(len(each.model_dump_json()) for each in found) < MAX_MESSAGE_BYTES


@pytest.mark.parametrize(
    ("issued_on", "days"),
    [(date(2027, 3, 14), 199), (date(2027, 3, 15), 100), (date(2029, 3, 14), 100), (date(2029, 3, 15), 47)],
)
def test_the_calendar_of_public_trust_shortens_what_the_policy_allows(issued_on: date, days: int) -> None:
    latest = issued_on + timedelta(days=days - 1)
    assert last_day(_resolved(), today=issued_on) == latest
    csr = world.make_csr()
    assert _codes(csr, expires_on=latest, today=issued_on) == set()
    assert _codes(csr, expires_on=latest + timedelta(days=1), today=issued_on) == {"validity.too-long"}


def test_client_authentication_is_warned_of_while_the_ca_has_it_and_refused_afterwards() -> None:
    text = world.policy_text().replace('["serverAuth"]', '["serverAuth", "clientAuth"]')
    policy = world.policy(text)
    csr = world.make_csr()
    before = _found(csr, today=date(2027, 2, 28), policy=policy)
    after = _found(csr, today=date(2027, 3, 1), policy=policy)
    assert [found.code for found in before] == ["eku.client-auth-ends"]
    assert not refuses(before)
    assert [found.code for found in after] == ["eku.client-auth-ended"]
    assert refuses(after)


def test_the_approvers_are_warned_of_what_a_public_ca_leaves_out() -> None:
    text = world.policy_text().replace('type = "C"\npattern = "[A-Z]{2}"', 'type = "OU"')
    revision = world.revision_of(world.content(), world.policy(text))
    proposal = proposal_of(revision, revision.policy, today=TODAY)
    subject = DistinguishedName.of(O="Example Ltd", OU="Sales", CN="www.example.com")
    found = check_request(replace(proposal, subject=subject))
    assert [(each.code, each.value) for each in found] == [("dn.left-out", "Sales")]
    assert not refuses(found)


def test_what_can_be_told_without_a_csr_is_told_with_what_is_wrong_with_it() -> None:
    screened = screen(world.content(csr="none", expires_on=TODAY), world.policy(), today=TODAY)
    assert [found.code for found in screened.findings] == ["csr.unreadable", "validity.past"]
