"""The words on which compatibility rests count only as signed by who may say them, and for exactly what they name."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from shared.attestations import AttestationsBeside, attestations_file
from shared.config import PolicySettings
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.compatibility import (
    LONGEST,
    Attestation,
    Attestations,
    attest,
    attested_until,
    read_facts,
    sign_facts,
    with_attestation,
)
from shared.evidence.dual_control import Officer
from shared.evidence.jws import Typ
from shared.policy.compatibility import Combination
from tests import world
from tests.world import NOW, TODAY, FixedClock, signing_key

OFFICERS = [Officer.model_validate({"name": name, "key": signing_key(name).public}) for name in ("olivia", "oscar")]
COMBINATION = world.combination()
ANCHOR = Anchor.of(world.policy())
WEEK = timedelta(days=7)
MEANWHILE = NOW + timedelta(days=1)


def attested(*tokens: str, about: Combination = COMBINATION) -> date | None:
    return attested_until(Attestations(attestations=tokens), about, OFFICERS, now=MEANWHILE)


def by(signer: str = "olivia", *, until: date = TODAY + WEEK, about: Combination = COMBINATION) -> str:
    return attest(about, until, signing_key(signer), at=NOW)


def test_facts_count_as_the_issuers_and_nobody_elses() -> None:
    facts = world.product_facts()
    assert read_facts(sign_facts(facts, signing_key("issuer")), ANCHOR, now=NOW) == facts
    for signer in ("approval", "intake", "olivia"):
        with pytest.raises(RefusedError, match="no key known"):
            read_facts(sign_facts(facts, signing_key(signer)), ANCHOR, now=NOW)


def test_another_signature_of_the_issuers_does_not_serve_as_facts() -> None:
    token = signing_key("issuer").sign(world.product_facts().canonical(), Typ.ISSUANCE, NOW)
    with pytest.raises(RefusedError, match="this signature is no"):
        read_facts(token, ANCHOR, now=NOW)


def test_an_officers_attestation_counts_until_its_last_day() -> None:
    assert attested(by()) == TODAY + WEEK
    assert attested() is None


@pytest.mark.parametrize(
    "other",
    [
        {"signing_certificate": "private-tls"},
        {"imported": COMBINATION.intermediate},
        {"intermediate": COMBINATION.imported},
        {"product": "ssl_plus"},
        {"ca_cert_id": "another"},
        {"container_id": 7},
    ],
)
def test_an_attestation_does_not_serve_for_another_combination(other: dict[str, object]) -> None:
    assert attested(by(), about=COMBINATION.model_copy(update=other)) is None


def test_an_attestation_by_somebody_else_does_not_count() -> None:
    assert attested(by("alice"), by("issuer")) is None


def test_an_officers_other_signatures_do_not_serve_as_attestations() -> None:
    said = Attestation(combination=COMBINATION, until=TODAY + WEEK).canonical()
    assert attested(signing_key("olivia").sign(said, Typ.POLICY, NOW)) is None


def test_nobody_can_prolong_an_attestation_by_changing_its_bytes() -> None:
    head, _, signature = by().split(".")
    _, longer, _ = by(until=TODAY + 2 * WEEK).split(".")
    assert attested(f"{head}.{longer}.{signature}") is None


def test_an_attestation_for_longer_than_is_allowed_is_neither_made_nor_believed() -> None:
    last = (NOW + LONGEST).date()
    assert attested(by(until=last)) == last
    for wrong in (last + timedelta(days=1), TODAY - timedelta(days=1)):
        with pytest.raises(RefusedError, match="an attestation ends within"):
            by(until=wrong)
    forever = Attestation(combination=COMBINATION, until=last + timedelta(days=1)).canonical()
    assert attested(signing_key("olivia").sign(forever, Typ.ATTESTATION, NOW)) is None


def test_a_new_attestation_takes_the_place_of_that_of_the_same_combination() -> None:
    other = COMBINATION.model_copy(update={"product": "ssl_plus"})
    shorter = by("oscar", until=TODAY + timedelta(days=2))
    kept = with_attestation(Attestations(attestations=(by(), by(about=other), "a.b.c")), COMBINATION, shorter)
    assert attested_until(kept, COMBINATION, OFFICERS, now=MEANWHILE) == TODAY + timedelta(days=2)
    assert attested_until(kept, other, OFFICERS, now=MEANWHILE) == TODAY + WEEK


def beside(folder: Path) -> AttestationsBeside:
    return AttestationsBeside(
        PolicySettings(file=folder / "policy.toml", officers=tuple(OFFICERS)), FixedClock(MEANWHILE)
    )


def test_attestations_are_read_beside_the_policy_whenever_they_are_needed(tmp_path: Path) -> None:
    found = beside(tmp_path)
    assert found.until(COMBINATION) is None
    attestations_file(tmp_path / "policy.toml").write_bytes(Attestations(attestations=(by(),)).canonical())
    assert found.until(COMBINATION) == TODAY + WEEK


@pytest.mark.parametrize("content", [b"", b"{}x", b'{"format": "another"}'])
def test_a_file_of_attestations_that_cannot_be_read_attests_nothing(tmp_path: Path, content: bytes) -> None:
    attestations_file(tmp_path / "policy.toml").write_bytes(content)
    assert beside(tmp_path).until(COMBINATION) is None
