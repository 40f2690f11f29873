"""Every golden request through the real intake and the real linter, against what must be found; and past `explain`."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from services.desk.explaining import explain
from services.intake.adapters.blocklist import BlocklistFolder
from services.intake.announcing import Announcer
from services.intake.handlers import SubmitRequestHandler
from shared.contracts.catalogue import COMMAND_OF
from shared.contracts.commands import SubmitRequest
from shared.contracts.content import RequestContent
from shared.contracts.statement import JwsStatement, UnsignedSubmission
from shared.errors import RefusedError
from shared.evidence.in_force import PolicyInForce
from shared.evidence.jws import Typ
from shared.identifiers import new_message_id
from shared.lint.worker import LintWorker
from shared.messaging.messages import Received
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding, Severity, finding, refuses
from tests.fakes.stores import MemoryKeys, MemoryRequests
from tests.golden import golden, recipes
from tests.golden.golden import CASES, CSRS, PACKAGE, POLICIES, Case, cases, csr_recipes
from tests.vectors.x509 import make_weak
from tests.world import FixedClock, signing_key

pytestmark = pytest.mark.xdist_group("golden")  # one linter for all of them
BY_ID = {case.id: case for case in cases()}
EACH = pytest.mark.parametrize("case", BY_ID.values(), ids=BY_ID)
IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="module")
NO_BLOCKLIST = BlocklistFolder(None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def linter() -> AsyncIterator[LintWorker]:
    worker = LintWorker()
    yield worker
    await worker.aclose()


@dataclass(frozen=True)
class Outcome:
    """How a request ends, and all that was found."""

    accepted: bool
    findings: tuple[Finding, ...]


async def submitted(case: Case, linter: LintWorker, *, blocklist: BlocklistFolder = NO_BLOCKLIST) -> Outcome:
    """What intake makes of it: a record that waits for approvers, or a refusal."""
    requests, policy, content = MemoryRequests(), case.policy, case.content
    in_force, clock = PolicyInForce(policy), FixedClock(case.now)
    handler = SubmitRequestHandler(
        requests=requests,
        keys=MemoryKeys(),
        in_force=in_force,
        published=blocklist,
        linter=linter,
        key=signing_key(Duty.INTAKE),
        announcer=Announcer(in_force, clock),
        clock=clock,
    )
    identity = policy.identity(case.by)
    assert identity is not None
    statement: JwsStatement | UnsignedSubmission
    if identity.keys:
        statement = JwsStatement(jws=signing_key(case.by).sign(content, Typ.SUBMISSION, case.now))
    else:
        statement = UnsignedSubmission(content=RequestContent.model_validate_json(content))
    asked, subject = SubmitRequest(submission=statement), json.loads(content)["request_id"]
    message = Received(new_message_id(), COMMAND_OF[SubmitRequest].name, subject, case.by, 0, asked)
    try:
        await handler(message)
    except RefusedError as refused:
        return Outcome(accepted=False, findings=refused.findings)
    (record,) = requests.all()
    return Outcome(accepted=True, findings=record.findings)


async def explained(case: Case, linter: LintWorker) -> Outcome:
    """What `ra policy explain` says."""
    try:
        content = RequestContent.read(case.content, code="submission.invalid")
    except RefusedError as refused:
        return Outcome(accepted=False, findings=refused.findings)
    explanation = await explain(content, case.policy, sender=case.by, today=case.now.date(), linter=linter)
    return Outcome(explanation.accepted, explanation.findings)


@IN_ONE_LOOP
@EACH
async def test_a_request_ends_as_its_case_says_with_exactly_these_findings(case: Case, linter: LintWorker) -> None:
    outcome = await submitted(case, linter)
    assert case.differences(outcome.findings) == []
    assert outcome.accepted == (case.outcome == "accepted") == (not refuses(outcome.findings))


@IN_ONE_LOOP
@EACH
async def test_explain_says_what_intake_does(case: Case, linter: LintWorker) -> None:
    assert await explained(case, linter) == await submitted(case, linter)


@IN_ONE_LOOP
@pytest.mark.parametrize(
    ("name", "list_number", "code"),
    [
        ("keys/rsa-2048", 1, "key.debian-weak"),
        ("keys/rsa-4096", 2, "key.blocklisted"),
        ("keys/ecdsa-p256", 5, "key.blocklisted"),
        ("keys/ed25519-for-private-trust", 5, "key.blocklisted"),
    ],
)
async def test_a_request_that_is_accepted_is_refused_once_its_key_is_on_the_blocklist(
    name: str, list_number: int, code: str, linter: LintWorker, tmp_path: Path
) -> None:
    case = BY_ID[name]
    record = make_weak.record(recipes.number_of(case.csr), list_number)
    for file, content in make_weak.blocklist({record}).items():
        (tmp_path / file).write_bytes(content)
    outcome = await submitted(case, linter, blocklist=BlocklistFolder(tmp_path))
    assert (outcome.accepted, [found.code for found in outcome.findings]) == (False, [code])


def test_each_committed_request_holds_what_its_recipe_says() -> None:
    assert [str(path) for path, recipe in csr_recipes().items() if not recipes.follows(path.read_text(), recipe)] == []


def test_every_golden_file_belongs_to_a_case() -> None:
    assert set(CSRS.rglob("*.csr")) == set(csr_recipes())
    policies = {path.stem for path in POLICIES.glob("*.toml")}
    assert policies == {"people", *(case.given["policy"] for case in cases())}
    assert {path.stem for path in CASES.glob("*.toml")} == {case.theme for case in cases()}


def test_every_request_in_the_package_of_vectors_has_an_expected_outcome() -> None:
    files = (path for path in PACKAGE.rglob("*") if path.is_file())
    found = {str(path.relative_to(PACKAGE)) for path in files if recipes.is_request(path)}
    assert found == {case.name for case in cases() if case.given["csr"] == "package"}


def test_there_are_enough_cases_of_both_kinds() -> None:
    own = [case for case in cases() if case.given["csr"] != "package"]
    assert len(own) >= 150
    assert min(sum(case.outcome == outcome for case in own) for outcome in golden.OUTCOMES) >= 50


def test_a_finding_too_many_is_told_as_well_as_one_too_few() -> None:
    case = BY_ID["names/wildcard-below-public-suffix"]
    expected = finding("name.wildcard-public-suffix", "said in any words", value="*.co.uk")
    assert case.differences((expected,)) == []
    assert case.differences(()) == ["missing: name.wildcard-public-suffix: *.co.uk"]
    assert case.differences((expected, expected)) == ["not expected: name.wildcard-public-suffix: *.co.uk"]
    milder = expected.model_copy(update={"severity": Severity.WARNING})
    assert len(case.differences((milder,))) == 2
