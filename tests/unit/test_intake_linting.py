"""The certificate that a request would become is linted before anybody is asked to approve it."""

from cryptography import x509

from shared.contracts import commands
from shared.contracts.content import RequestContent
from shared.evidence.jws import payload_of
from shared.evidence.steps import Revision
from shared.lint.kinds import LintKind
from shared.vocabulary.findings import Finding, Severity, finding
from tests import world
from tests.fakes.duties import Intake, lifecycle

BAD = finding("lint.pkix.bad", "the linter found an error")
ODD = finding("lint.pkix.odd", "the linter wonders", severity=Severity.WARNING)


def _submit(asked: RequestContent) -> commands.SubmitRequest:
    return commands.SubmitRequest(submission=world.submission(asked))


async def test_what_is_linted_is_the_certificate_that_the_request_would_become() -> None:
    intake = Intake()
    asked = world.content()
    await intake.send(_submit(asked), by="shop")
    ((der, kind),) = intake.linter.asked
    certificate = x509.load_der_x509_certificate(der)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert kind is LintKind.PUBLIC_TLS
    assert names.get_values_for_type(x509.DNSName) == ["www.example.com"]


async def test_an_error_of_the_linter_refuses_the_request() -> None:
    intake = Intake()
    intake.linter.says = [BAD, ODD]
    assert await intake.refused(_submit(world.content()), by="shop") == [BAD.code, ODD.code]


async def test_a_warning_of_the_linter_is_shown_to_the_approvers() -> None:
    intake = Intake()
    intake.linter.says = [ODD]
    (accepted,) = lifecycle(await intake.send(_submit(world.content()), by="shop"))
    (record,) = intake.requests.all()
    assert accepted.type == "ra.request.accepted.v1"
    assert record.findings == (ODD,)


async def test_what_the_screening_refuses_is_not_linted() -> None:
    intake = Intake()
    await intake.refused(_submit(world.content(csr=world.make_csr("www.elsewhere.net"))), by="shop")
    assert intake.linter.asked == []


async def test_a_policy_that_comes_while_a_request_is_linted_does_not_count_for_it_and_is_not_named() -> None:
    intake = Intake()
    before = intake.in_force.policy
    lint = intake.linter.lint

    async def linted(der: bytes, kind: LintKind) -> list[Finding]:
        intake.adopt(world.newer_policy(("quorum = 2", "quorum = 3")))
        return await lint(der, kind)

    intake.linter.lint = linted  # type: ignore[method-assign]  # a slow linter, and a policy meanwhile
    (accepted,) = lifecycle(await intake.send(_submit(world.content()), by="shop"))
    (record,) = intake.requests.all()
    assert record.evidence is not None
    revision = Revision.read(payload_of(record.evidence.revisions[0].jws), code="a.b")
    assert (revision.policy.quorum, revision.policy_digest) == (2, before.digest)
    assert '"policyserial":"1"' in accepted.body
