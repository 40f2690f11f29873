"""`ra audit`: only a file in which everything holds against an anchor is verified, and no byte of it can be changed."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.desk.__main__ import app
from services.desk.audit import Standing, check_consistency, verify_against
from services.desk.exits import Exit
from shared.contracts.events import Evidence
from shared.contracts.statement import RevisionStatement, UnsignedSubmission
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.file import EvidenceFile, read_evidence
from shared.evidence.jws import Typ, payload_of
from shared.evidence.steps import DecisionKind, Issuance, Revocation
from shared.vocabulary.duties import Duty
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import IdentityName
from shared.vocabulary.reasons import RevocationReason
from shared.x509.certificate import parse_certificate
from tests import world
from tests.world import NOW, Approved, decision, signing_key

RUN = CliRunner()


def _file(chain: Approved, **update: object) -> bytes:
    evidence = chain.evidence.model_copy(update=update)
    return EvidenceFile(request_id=chain.revision.request_id, evidence=evidence).canonical()


def _revoked(at: datetime = NOW) -> bytes:
    chain = world.issued(at=at)
    payload = payload_of(chain.evidence.issuance or "")
    leaf = parse_certificate(Issuance.read(payload, code="a.b").chain[0])
    said = Revocation(
        request_id=chain.revision.request_id,
        issuance=digest_of(payload),
        serial_number=leaf.serial_hex,
        certificate=leaf.sha256,
        reason=RevocationReason.KEY_COMPROMISE,
        notes="",
        requested_by=IdentityName("shop"),
        requested_at=at,
        revoked_at=at,
        policy_digest=world.policy().digest,
    )
    return _file(chain, revocation=signing_key(Duty.REVOKER).sign(said.canonical(), Typ.REVOCATION, at))


def _denied() -> bytes:
    chain = world.accepted()
    request_id = chain.revision.request_id
    decisions = (
        decision(chain.digest, request_id, by="alice"),
        decision(chain.digest, request_id, by="ben", kind=DecisionKind.DENY, note="no"),
    )
    return _file(chain, decisions=decisions)


def _unsigned() -> bytes:
    asked = world.content()
    revision = world.revision_of(asked, world.policy(), requesters=("portal",))
    token = signing_key(Duty.INTAKE).sign(revision.canonical(), Typ.REVISION, NOW)
    evidence = Evidence(submission=UnsignedSubmission(content=asked), revisions=(RevisionStatement(jws=token),))
    return EvidenceFile(request_id=asked.request_id, evidence=evidence).canonical()


def _renewed() -> bytes:
    return _file(world.issued(policy_renewed=world.policy()))


CHAINS = {"revoked": _revoked, "denied": _denied, "unsigned": _unsigned, "renewed": _renewed}


def _verify(data: bytes) -> Standing:
    return verify_against(read_evidence(data), Anchor.of(world.policy()), now=NOW).standing


@pytest.mark.parametrize("chain", CHAINS)
def test_no_single_byte_of_a_verified_file_can_be_changed(chain: str) -> None:
    data = CHAINS[chain]()
    assert _verify(data) is Standing.VERIFIED
    anchor = Anchor.of(world.policy())
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= random.randrange(1, 256)  # noqa: S311 - any other byte will do
        with pytest.raises(RefusedError):
            verify_against(read_evidence(bytes(changed)), anchor, now=NOW)


@pytest.mark.parametrize("chain", CHAINS)
def test_no_byte_can_be_added_or_left_out(chain: str) -> None:
    data = CHAINS[chain]()
    for position in [0, len(data) - 1, *random.sample(range(len(data)), 50)]:
        for changed in (data[:position] + data[position + 1 :], data[:position] + b" " + data[position:]):
            with pytest.raises(RefusedError):
                _verify(changed)


def test_the_decisions_of_a_denied_request_are_verified_and_told() -> None:
    report = verify_against(read_evidence(_denied()), Anchor.of(world.policy()), now=NOW)
    assert any("ben denied it" in step for step in report.steps)
    chain = world.accepted()
    for forged in (
        decision(chain.digest, chain.revision.request_id, by="ben", signer="mallory"),
        decision(chain.digest, chain.revision.request_id, by="shop"),
        decision(digest_of(b"other"), chain.revision.request_id, by="ben"),
    ):
        with pytest.raises(RefusedError):
            _verify(_file(chain, decisions=(forged,)))


@pytest.mark.parametrize("chain", CHAINS)
def test_without_an_anchor_an_honest_file_is_no_more_than_self_consistent(chain: str) -> None:
    assert check_consistency(read_evidence(CHAINS[chain]())).standing is Standing.SELF_CONSISTENT


def test_without_an_anchor_a_chain_put_together_from_two_requests_is_found_out() -> None:
    one, other = world.issued(), world.issued()
    mixtures: dict[str, object] = {
        "submission": other.evidence.submission,
        "revisions": other.evidence.revisions,
        "decisions": other.evidence.decisions,
        "verdict": other.evidence.verdict,
        "issuance": other.evidence.issuance,
        "revocation": read_evidence(_revoked()).evidence.revocation,
    }
    for step, foreign in mixtures.items():
        with pytest.raises(RefusedError):
            check_consistency(read_evidence(_file(one, **{step: foreign})))
    with pytest.raises(RefusedError):
        check_consistency(read_evidence(_file(one, verdict=None)))


def test_without_an_anchor_a_chain_of_revisions_that_does_not_follow_is_found_out() -> None:
    whole = read_evidence(_renewed())
    first, second = whole.evidence.revisions
    for revisions in ((second,), (second, first), (first, second, second)):
        evidence = whole.evidence.model_copy(update={"revisions": revisions})
        with pytest.raises(RefusedError, match=r"evidence\.revisions"):
            check_consistency(whole.model_copy(update={"evidence": evidence}))
    begun = world.accepted()
    altered = world.renewed(begun, world.policy(), notes="altered")
    with pytest.raises(RefusedError, match=r"evidence\.renewal-differs"):
        check_consistency(read_evidence(_file(altered)))


def test_a_denial_of_the_former_revision_contradicts_nothing_and_an_approval_of_it_does() -> None:
    begun = world.accepted()
    chain, request_id = world.renewed(begun, world.policy()), begun.revision.request_id
    denial = decision(begun.digest, request_id, by="ben", kind=DecisionKind.DENY)
    assert check_consistency(read_evidence(_file(chain, decisions=(denial,)))).standing is Standing.SELF_CONSISTENT
    with pytest.raises(RefusedError, match=r"evidence\.decision-differs"):
        check_consistency(read_evidence(_file(chain, decisions=(decision(begun.digest, request_id, by="ben"),))))


def _files(folder: Path) -> tuple[Path, Path]:
    evidence, anchor = folder / "evidence.json", folder / "anchor.json"
    evidence.write_bytes(_revoked(at=datetime.now(UTC)))
    anchor.write_bytes(Anchor.of(world.policy()).canonical())
    return evidence, anchor


def test_verify_tells_the_story_and_its_status_says_how_much_it_is_worth(tmp_path: Path) -> None:
    evidence, anchor = _files(tmp_path)
    trusted = RUN.invoke(app, ["audit", "verify", str(evidence), "--anchor", str(anchor)])
    assert trusted.exit_code == Exit.OK
    assert "VERIFIED: everything holds" in trusted.stdout
    assert "revoker revoked it: keyCompromise" in trusted.stdout
    alone = RUN.invoke(app, ["audit", "verify", str(evidence)])
    assert alone.exit_code == Exit.SELF_CONSISTENT
    assert "NOT TRUSTED" in alone.stdout
    assert "No signature was checked" in alone.stdout


def test_verify_refuses_a_changed_file_with_its_findings(tmp_path: Path) -> None:
    evidence, anchor = _files(tmp_path)
    evidence.write_bytes(evidence.read_bytes().replace(b'"jws":"e', b'"jws":"f', 1))
    result = RUN.invoke(app, ["audit", "verify", str(evidence), "--anchor", str(anchor), "--json"])
    assert result.exit_code == Exit.REFUSED
    told = json.loads(result.stdout)
    assert told["code"] == "refused"
    assert told["findings"][0]["code"].startswith("evidence.")


def test_verify_refuses_a_file_against_somebody_elses_anchor(tmp_path: Path) -> None:
    evidence, anchor = _files(tmp_path)
    keys = {duty: (signing_key(f"other {duty}").public,) for duty in Duty}
    anchor.write_bytes(Anchor.of(world.policy()).model_copy(update={"duties": keys}).canonical())
    assert RUN.invoke(app, ["audit", "verify", str(evidence), "--anchor", str(anchor)]).exit_code == Exit.REFUSED


def test_verify_with_an_unusable_anchor_is_a_matter_of_configuration(tmp_path: Path) -> None:
    evidence, anchor = _files(tmp_path)
    anchor.write_text("{}")
    result = RUN.invoke(app, ["audit", "verify", str(evidence), "--anchor", str(anchor)])
    assert result.exit_code == Exit.CONFIGURATION


def test_verify_reads_standard_input_and_reports_to_programs(tmp_path: Path) -> None:
    evidence, anchor = _files(tmp_path)
    result = RUN.invoke(app, ["--json", "audit", "verify", "-", "--anchor", str(anchor)], input=evidence.read_bytes())
    report = json.loads(result.stdout)
    assert (report["standing"], report["issued"], report["revoked"]) == ("verified", True, True)


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b"[]", b"{}", b'{"a":' * 5000, b"null"])
def test_verify_refuses_what_is_no_evidence_and_never_shows_a_traceback(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "evidence.json"
    path.write_bytes(garbage)
    result = RUN.invoke(app, ["audit", "verify", str(path)])
    assert result.exit_code == Exit.REFUSED
    assert "Traceback" not in result.output
    assert RUN.invoke(app, ["audit", "verify", str(tmp_path / "missing")]).exit_code == Exit.USAGE


def test_an_anchor_made_of_a_policy_verifies_what_its_duties_signed(tmp_path: Path) -> None:
    evidence, _ = _files(tmp_path)
    policy = _policy(tmp_path)
    made = tmp_path / "made.json"
    command = ["audit", "anchor", "--policy", str(policy), "-o", str(made)]
    assert RUN.invoke(app, command).exit_code == Exit.OK
    assert RUN.invoke(app, ["audit", "verify", str(evidence), "--anchor", str(made)]).exit_code == Exit.OK
    assert RUN.invoke(app, command).exit_code == Exit.USAGE
    assert RUN.invoke(app, [*command, "--force"]).exit_code == Exit.OK


def _policy(folder: Path, text: str | None = None) -> Path:
    ca = world.shared_ca()
    path = folder / "policy.toml"
    path.write_text(text or world.policy_text())
    (folder / "intermediate.pem").write_bytes(world.pem(ca.intermediate))
    (folder / "imported.pem").write_bytes(world.pem(ca.issue(world.accepted().revision)))
    return path


def test_policy_check_finds_nothing_in_a_good_policy(tmp_path: Path) -> None:
    result = RUN.invoke(app, ["policy", "check", str(_policy(tmp_path)), "--json"])
    assert result.exit_code == Exit.OK
    assert json.loads(result.stdout)["approval_groups"] == ["web"]


def test_policy_check_names_every_mistake_at_once(tmp_path: Path) -> None:
    text = (
        world.policy_text()
        .replace("quorum = 2", "quorum = 9")
        .replace('dn_profiles = ["server"]', 'dn_profiles = ["x"]')
    )
    result = RUN.invoke(app, ["policy", "check", str(_policy(tmp_path, text))])
    assert result.exit_code == Exit.REFUSED
    assert "policy.quorum-out-of-reach" in result.stderr
    assert "policy.unknown-reference" in result.stderr
