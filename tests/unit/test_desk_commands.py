"""`ra` from the command line to the command that is sent, and back to the screen and the exit status."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner, Result

from services.desk.__main__ import app
from services.desk.deciding import told
from services.desk.exits import Exit
from shared.client import errors
from shared.contracts import commands, replies
from shared.contracts.content import RequestContent
from shared.contracts.statement import UnsignedSubmission
from shared.evidence.anchor import Anchor
from shared.evidence.jws import payload_of
from shared.evidence.steps import MOST_AT_ONCE, Decision, DecisionKind, Decisions, RevocationConfirmation
from shared.identifiers import new_request_id
from shared.messaging.messages import Outgoing, Received, reply_failed, reply_refused
from shared.vocabulary.duties import Duty
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.fit import Fit
from shared.vocabulary.formats import DownloadFormat
from shared.vocabulary.model import Model, digest_of
from shared.vocabulary.names import (
    ApprovalGroupName,
    DnProfileName,
    ExtensionProfileName,
    IdentityName,
    OrderId,
    RequestId,
    SigningCertificateName,
)
from shared.vocabulary.orders import OrderState
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.states import State
from shared.x509.possession import is_proven
from tests import world
from tests.fakes.client_session import Answer, FakeBroker
from tests.fakes.holders import new_key
from tests.fakes.samples import OTHER, sample_results

REQUEST = new_request_id()
HOSTILE = "evil\x1b[2J\u202e[red]x[/red]"


class Desk:
    """A profile, a broker in memory, and `ra`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = FakeBroker()
        self.cases: dict[str, replies.CaseResult] = {}
        self.profile = folder / "profile.toml"
        (folder / "password").write_text("secret")
        (folder / "alice.pem").write_bytes(
            Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        (folder / "alice.pem").chmod(0o600)
        self.write_profile(signing=True)

    def write_profile(self, *, signing: bool, anchor: Anchor | None = None) -> None:
        text = 'identity = "alice"\n[broker]\nhost = "h"\nport = 1\nvirtual_host = "v"\npassword_file = "password"\n'
        text += '[signing]\nkey_file = "alice.pem"\n' if signing else ""
        if anchor is not None:
            (self.folder / "anchor.json").write_bytes(anchor.canonical())
            text += '[trust]\nanchor_file = "anchor.json"\n'
        self.profile.write_text(text)

    def run(self, *arguments: str, typed: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(app, [*arguments, "--profile", str(self.profile), "--timeout", "0.2"], input=typed)
        assert "Traceback" not in result.output
        return result

    def csr(self, *names: str) -> str:
        path = self.folder / "request.csr"
        path.write_text(world.make_csr(*names))
        return str(path)

    def submitted(self) -> RequestContent:
        (sent,) = [command for command in self.broker.commands() if isinstance(command, commands.SubmitRequest)]
        if isinstance(sent.submission, UnsignedSubmission):
            return sent.submission.content
        return RequestContent.read(payload_of(sent.submission.jws), code="a.b")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path)
    monkeypatch.setattr("services.desk.frame.connect", desk.broker.connect)
    monkeypatch.chdir(tmp_path)
    desk.broker.answers[commands.ShowOptions] = lambda _: _options()
    desk.broker.answers[commands.SubmitRequest] = lambda message: replies.SubmitResult(
        request_id=RequestId(message.subject), state=State.PENDING
    )
    return desk


def _always(result: replies.Result) -> Answer:
    return lambda _: result


def _options(*groups: str, certificates: int = 1) -> replies.OptionsResult:
    signing = [
        replies.SigningCertificateOption(
            name=SigningCertificateName(f"public-{number}"),
            description="d",
            trust="public",
            approval_groups=tuple(map(ApprovalGroupName, groups or ("web",))),
            extension_profiles=(ExtensionProfileName("tls-server"),),
            dn_profiles=(DnProfileName("server"),),
            enrollment_methods=("csr",),
            key_types=("ecdsa-p256",),
            signature_hashes=("sha256",),
            max_validity_days=199,
        )
        for number in range(certificates)
    ]
    return replies.OptionsResult(
        signing_certificates=tuple(signing), extension_profiles=(), dn_profiles=(), approval_groups=()
    )


def _summary(state: State, request_id: str = REQUEST) -> replies.RequestSummary:
    return replies.RequestSummary(
        request_id=RequestId(request_id),
        name=HOSTILE,
        state=state,
        approval_group=ApprovalGroupName("web"),
        requesters=(IdentityName("shop"),),
        subject=f"CN={HOSTILE}",
        submitted_at=datetime.now(UTC),
        changed_at=datetime.now(UTC),
    )


def _status(state: State, request_id: str = REQUEST) -> replies.StatusResult:
    entry = replies.HistoryEntry(at=datetime.now(UTC), state=state, by="intake", message=HOSTILE)
    return replies.StatusResult(
        request=_summary(state, request_id),
        names=(HOSTILE,),
        findings=(finding("a.b", HOSTILE),),
        history=(entry,),
        serial_number="0a",
        not_after=datetime.now(UTC),
    )


# --- submit -------------------------------------------------------------------------------------------------------


def test_where_there_is_one_choice_it_is_taken_and_the_request_is_named_after_its_cn(desk: Desk) -> None:
    result = desk.run("submit", "csr", desk.csr("www.example.com"))
    assert result.exit_code == Exit.OK
    sent = desk.submitted()
    assert (sent.signing_certificate, sent.approval_group, sent.name) == ("public-0", "web", "www.example.com")
    assert sent.request_id in result.stdout
    assert "What happens next" in result.stdout


def test_where_there_are_several_choices_they_are_listed_and_nothing_is_sent(desk: Desk) -> None:
    for options, named in (
        (_options(certificates=2), "public-0, public-1"),
        (_options("web", "mail"), "web, mail"),
        (_options(certificates=0), "nothing that you may pick"),
    ):
        desk.broker.answers[commands.ShowOptions] = _always(options)
        result = desk.run("submit", "csr", desk.csr())
        assert result.exit_code == Exit.USAGE
        assert named in result.stderr
    unknown = desk.run("submit", "csr", desk.csr(), "--signing-certificate", "other")
    assert unknown.exit_code == Exit.USAGE
    assert not any(isinstance(sent, commands.SubmitRequest) for sent in desk.broker.commands())


def test_every_choice_can_be_made_by_hand_and_then_nothing_is_asked(desk: Desk) -> None:
    choices = ["--signing-certificate", "a", "--approval-group", "b", "--extension-profile", "c", "--dn-profile", "d"]
    more = [
        "--name",
        "n",
        "--expires-on",
        "2027-01-31",
        "--notes",
        "why",
        "--email",
        "a@b.example",
        "--email",
        "c@d.example",
    ]
    again = ["--on-behalf-of", "shop", "--request-id", REQUEST]
    assert desk.run("submit", "csr", desk.csr(), *choices, *more, *again).exit_code == Exit.OK
    sent = desk.submitted()
    assert len(desk.broker.published) == 1
    assert (sent.signing_certificate, sent.approval_group, sent.extension_profile, sent.dn_profile) == tuple("abcd")
    assert (sent.name, str(sent.expires_on), sent.notes, sent.emails) == (
        "n",
        "2027-01-31",
        "why",
        ("a@b.example", "c@d.example"),
    )
    assert (sent.on_behalf_of, sent.request_id) == ("shop", REQUEST)


def test_a_csr_comes_from_standard_input_too_and_a_bad_one_is_not_sent(desk: Desk) -> None:
    assert desk.run("submit", "csr", "-", typed=world.make_csr()).exit_code == Exit.OK
    bad = desk.run("submit", "csr", "-", typed="no csr")
    assert bad.exit_code == Exit.REFUSED
    assert "csr.unreadable" in bad.stderr
    missing = desk.run("submit", "csr", "missing.csr")
    assert missing.exit_code == Exit.USAGE
    assert desk.run("submit", "csr", "-", typed=b"x" * 100_000).exit_code == Exit.USAGE


def test_a_submission_is_signed_where_there_is_a_key(desk: Desk) -> None:
    desk.run("submit", "csr", desk.csr())
    desk.write_profile(signing=False)
    desk.run("submit", "csr", desk.csr())
    kinds = [sent.submission.kind for sent in desk.broker.commands() if isinstance(sent, commands.SubmitRequest)]
    assert kinds == ["jws", "unsigned"]


def test_a_submission_without_an_answer_says_under_which_id_to_repeat_it(desk: Desk) -> None:
    desk.broker.answers[commands.SubmitRequest] = lambda _: None
    result = desk.run("submit", "csr", desk.csr())
    assert result.exit_code == Exit.UNAVAILABLE
    assert f"--request-id {desk.submitted().request_id}" in result.stderr


def test_what_does_not_fit_a_request_is_a_mistake_of_the_command_line(desk: Desk) -> None:
    result = desk.run("submit", "csr", desk.csr(), "--email", "nobody", "--name", "a\nb")
    assert result.exit_code == Exit.USAGE
    assert "emails" in result.stderr
    assert "name" in result.stderr


@pytest.mark.parametrize(("state", "status"), [(State.ISSUED, Exit.OK), (State.DENIED, Exit.REFUSED)])
def test_waiting_for_a_submission_ends_with_what_became_of_it(desk: Desk, state: State, status: Exit) -> None:
    desk.broker.answers[commands.ShowStatus] = lambda message: _status(state, message.subject)
    result = desk.run("submit", "csr", desk.csr(), "--wait", "--json")
    assert result.exit_code == status
    assert json.loads(result.stdout)["request"]["state"] == state


# --- what a requester sees ----------------------------------------------------------------------------------------


def test_nothing_from_a_message_acts_on_the_terminal(desk: Desk) -> None:
    desk.broker.answers[commands.ShowStatus] = lambda _: _status(State.PENDING)
    desk.broker.answers[commands.ListRequests] = lambda _: replies.RequestsResult(
        requests=(_summary(State.PENDING),), more=True
    )
    desk.broker.answers[commands.ListPending] = lambda _: replies.PendingResult(
        cases=(replies.PendingCase(request=_summary(State.PENDING), approvals=1, quorum=2, decided_by_me=True),),
        more=True,
    )
    for command in (["status", REQUEST], ["list"], ["desk", "list"], ["options"]):
        result = desk.run(*command)
        assert result.exit_code == Exit.OK
        assert "\x1b" not in result.output
        assert "\u202e" not in result.output
    assert f"ra list --before {REQUEST}" in desk.run("list").stdout


def test_results_for_programs_are_the_models_themselves(desk: Desk) -> None:
    status = _status(State.PENDING)
    desk.broker.answers[commands.ShowStatus] = lambda _: status
    for arguments in (["--json", "status", REQUEST], ["status", REQUEST, "--json"]):
        result = desk.run(*arguments)
        assert replies.StatusResult.model_validate_json(result.stdout) == status
        assert result.stderr == ""


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (
            lambda m: reply_refused(m, [finding("request.unknown", "no such request")], at=world.NOW),
            Exit.REFUSED,
            "refused",
        ),
        (lambda m: reply_failed(m, at=world.NOW), Exit.FAILED, "failed"),
        (lambda _: None, Exit.UNAVAILABLE, "no-answer"),
        (lambda _: errors.SlowDownError("slow"), Exit.UNAVAILABLE, "slow-down"),
        (lambda _: errors.UnroutableCommandError("no queue"), Exit.UNAVAILABLE, "unroutable"),
        (lambda _: errors.AccessRefusedError("no"), Exit.REFUSED, "access-refused"),
        (lambda _: _options(), Exit.FAILED, "answer-unreadable"),
        (lambda _: ZeroDivisionError(), Exit.INTERNAL, "internal"),
    ],
)
def test_every_way_to_fail_has_its_status_and_its_word(desk: Desk, answer: object, status: Exit, code: str) -> None:
    desk.broker.answers[commands.ShowStatus] = answer  # type: ignore[assignment]  # a lambda of the table
    result = desk.run("status", REQUEST, "--json")
    assert result.exit_code == status
    told = json.loads(result.stdout)
    assert told["code"] == code
    assert set(told) == {"code", "message", "findings"}
    assert result.stderr.startswith("ra: ")


@pytest.mark.parametrize(
    ("error", "status"),
    [(errors.NotConnectedError("away"), Exit.UNAVAILABLE), (errors.CredentialsError("no"), Exit.CONFIGURATION)],
)
def test_a_broker_that_cant_be_reached_is_told_from_one_that_does_not_let_in(
    desk: Desk, error: Exception, status: Exit
) -> None:
    desk.broker.refuses = error
    assert desk.run("list").exit_code == status


def test_a_missing_or_wrong_profile_is_a_matter_of_configuration(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RA_PROFILE", str(desk.folder / "nowhere.toml"))
    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == Exit.CONFIGURATION
    assert "nowhere.toml" in result.stderr
    desk.profile.write_text("identity = 7\nextra = 1\n")
    wrong = desk.run("list")
    assert wrong.exit_code == Exit.CONFIGURATION
    assert wrong.stderr.count("config.invalid") == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "not-an-id"],
        ["status", "6a1f7a2e-0000-4000-8000-000000000000"],
        ["status", REQUEST, "--wait", "eventually"],
        ["revoke", REQUEST],
        ["revoke", REQUEST, "--reason", "boredom"],
        ["download", REQUEST, "--format", "docx"],
        ["list", "--limit", "0"],
        ["desk", "approve"],
        ["nonsense"],
    ],
)
def test_a_wrong_command_line_sends_nothing(desk: Desk, arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == Exit.USAGE
    assert desk.broker.published == []


def test_waiting_for_a_state_that_cant_come_or_does_not_come_has_its_own_status(desk: Desk) -> None:
    desk.broker.answers[commands.ShowStatus] = lambda _: _status(State.DENIED)
    assert desk.run("status", REQUEST, "--wait", "issued").exit_code == Exit.REFUSED
    assert desk.run("status", REQUEST, "--wait", "issued", "--wait", "denied").exit_code == Exit.OK
    desk.broker.answers[commands.ShowStatus] = lambda _: _status(State.PENDING)
    late = desk.run("status", REQUEST, "--wait", "issued", "--limit", "0.1")
    assert late.exit_code == Exit.UNAVAILABLE
    assert "still pending" in late.stderr


def test_withdrawing_says_what_became_of_the_request(desk: Desk) -> None:
    desk.broker.answers[commands.WithdrawRequest] = lambda _: replies.WithdrawResult(
        request_id=REQUEST, state=State.WITHDRAWN
    )
    assert "withdrawn" in desk.run("withdraw", REQUEST.upper()).stdout


def _standing(fit: Fit, *findings: Finding) -> replies.SigningCertificatesResult:
    standing = replies.SigningCertificateStanding(
        name=SigningCertificateName("public-tls"),
        product="ssl_basic",
        ca_cert_id="1",
        fit=fit,
        findings=findings,
        facts_taken_at=world.NOW,
        attested_until=world.TODAY,
    )
    return replies.SigningCertificatesResult(signing_certificates=(standing,))


@pytest.mark.parametrize("arguments", [(), ("list",)])
def test_signing_certificates_are_shown_with_their_verdict_its_reasons_and_its_age(
    desk: Desk, arguments: tuple[str, ...]
) -> None:
    silent = finding("ca.silent", "the CA does not say")
    desk.broker.answers[commands.ListSigningCertificates] = _always(_standing(Fit.UNKNOWN, silent))
    shown = desk.run("signing-certificates", *arguments)
    assert shown.exit_code == Exit.OK
    for piece in ("public-tls", "unknown", "ssl_basic", "2026-11-20 12:00", "the CA does not say", "2026-11-20"):
        assert piece in shown.stdout
    assert json.loads(desk.run("signing-certificates", *arguments, "--json").stdout)


def test_a_case_that_waits_for_the_ca_says_so_to_who_approves_it() -> None:
    waits = finding("ca.facts-stale", "what is known of the CA is old")
    shown = replies.DecisionResult(
        request_id=RequestId(REQUEST), state=State.PENDING, approvals=2, quorum=2, held_because=(waits,)
    )
    assert "goes on by itself: what is known of the CA is old." in told(shown, DecisionKind.APPROVE)


# --- files --------------------------------------------------------------------------------------------------------


def _download(desk: Desk, content: bytes = b"pem", name: str = "certificate.pem") -> None:
    desk.broker.answers[commands.DownloadCertificate] = lambda _: replies.DownloadResult.model_construct(
        request_id=REQUEST, format=DownloadFormat.PEM_X509, media_type="m/t", file_name=name, content=content
    )


def test_a_download_takes_the_name_that_comes_with_it_and_overwrites_only_by_force(desk: Desk) -> None:
    _download(desk)
    assert desk.run("download", REQUEST).exit_code == Exit.OK
    target = desk.folder / "certificate.pem"
    assert target.read_bytes() == b"pem"
    target.write_text("mine")
    again = desk.run("download", REQUEST)
    assert again.exit_code == Exit.USAGE
    assert target.read_text() == "mine"
    assert desk.run("download", REQUEST, "--force").exit_code == Exit.OK
    assert target.read_bytes() == b"pem"
    assert sorted(path.name for path in desk.folder.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("name", [".bashrc", "..", "."])
def test_a_name_that_hides_a_file_is_not_taken_from_a_message(desk: Desk, name: str) -> None:
    _download(desk, name=name)
    assert desk.run("download", REQUEST, "--force").exit_code == Exit.USAGE


def test_bytes_go_to_standard_output_but_never_to_a_terminal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    _download(desk, b"\x30\x82\x1b[2J")
    assert desk.run("download", REQUEST, "-o", "-").stdout_bytes == b"\x30\x82\x1b[2J"
    monkeypatch.setattr("typer.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    refused = desk.run("download", REQUEST, "-o", "-")
    assert refused.exit_code == Exit.USAGE
    assert b"\x82" not in refused.stdout_bytes


def test_a_program_gets_the_certificate_inside_the_result_and_no_file(desk: Desk) -> None:
    _download(desk)
    result = desk.run("download", REQUEST, "--json")
    assert json.loads(result.stdout)["file_name"] == "certificate.pem"
    assert not (desk.folder / "certificate.pem").exists()
    assert desk.run("download", REQUEST, "--json", "-o", "-").exit_code == Exit.USAGE


def test_der_is_asked_for_without_a_chain_for_which_it_has_no_room(desk: Desk) -> None:
    _download(desk)
    desk.run("download", REQUEST, "--format", "der-x509", "-o", "x.der")
    desk.run("download", REQUEST, "--no-chain", "-o", "x.pem")
    desk.run("download", REQUEST, "-o", "y.pem")
    asked = [sent for sent in desk.broker.commands() if isinstance(sent, commands.DownloadCertificate)]
    assert [(sent.format, sent.chain) for sent in asked] == [
        ("der-x509", False),
        ("pem-x509", False),
        ("pem-x509", True),
    ]


def test_evidence_is_written_as_it_came(desk: Desk) -> None:
    desk.broker.answers[commands.ExportEvidence] = lambda _: replies.EvidenceResult(
        request_id=REQUEST, evidence='{"é":1}'
    )
    target = desk.folder / "evidence.json"
    assert desk.run("audit", "export", REQUEST, "-o", str(target)).exit_code == Exit.OK
    assert target.read_text() == '{"é":1}'
    assert desk.run("audit", "export", REQUEST, "-o", str(target)).exit_code == Exit.USAGE


# --- revoke -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", list(RevocationReason))
def test_each_reason_of_the_rfc_can_be_given_in_any_case(desk: Desk, reason: RevocationReason) -> None:
    _revocable(desk)
    assert desk.run("revoke", REQUEST, "--reason", reason.lower(), "--no-wait").exit_code == Exit.OK
    (sent,) = desk.broker.commands()
    assert isinstance(sent, commands.RevokeCertificate)
    assert sent.reason is reason


def _revocable(desk: Desk) -> None:
    def revoke(message: Received[Model]) -> replies.RevokeResult:
        assert isinstance(message.data, commands.RevokeCertificate)
        return replies.RevokeResult(
            request_id=REQUEST, state=State.ISSUED, reason=message.data.reason, certificate=digest_of(b"c")
        )

    desk.broker.answers[commands.RevokeCertificate] = revoke


def test_a_revocation_is_waited_for_and_one_that_takes_too_long_is_said_to_be_under_way(desk: Desk) -> None:
    _revocable(desk)
    desk.broker.answers[commands.ShowStatus] = lambda _: _status(State.REVOKED)
    done = desk.run("revoke", REQUEST, "--reason", "superseded", "--json")
    assert json.loads(done.stdout)["state"] == "revoked"
    desk.broker.answers[commands.ShowStatus] = lambda _: _status(State.ISSUED)
    late = desk.run("revoke", REQUEST, "--reason", "superseded", "--limit", "0.1")
    assert late.exit_code == Exit.UNAVAILABLE
    assert "is accepted" in late.stdout


def test_a_certificate_goes_by_its_serial_number_as_browsers_show_it(desk: Desk) -> None:
    _revocable(desk)
    assert desk.run("revoke", "00:AB:0C", "--reason", "superseded", "--no-wait").exit_code == Exit.OK
    assert desk.run("revoke", "not hexadecimal", "--reason", "superseded").exit_code == Exit.USAGE
    (sent,) = desk.broker.commands()
    assert isinstance(sent, commands.RevokeCertificate)
    assert (sent.request_id, sent.serial_number) == (None, "ab0c")


def test_whoever_holds_the_private_key_proves_it_here_and_the_key_stays_here(desk: Desk) -> None:
    _revocable(desk)
    own, file = new_key(), desk.folder / "tls.pem"
    file.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    done = desk.run("revoke", "ab0c", "--reason", "keyCompromise", "--key", str(file))
    assert done.exit_code == Exit.OK
    (sent,) = desk.broker.commands()
    assert isinstance(sent, commands.RevokeCertificate)
    assert sent.proof is not None
    assert (sent.proof.statement.certificate, sent.proof.statement.relayed_by) == ("ab0c", "alice")
    assert is_proven(own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), sent.proof)
    file.write_text("no key")
    assert desk.run("revoke", "ab0c", "--reason", "keyCompromise", "--key", str(file)).exit_code == Exit.USAGE
    missing = desk.run("revoke", "ab0c", "--reason", "keyCompromise", "--key", str(desk.folder / "none"))
    assert missing.exit_code == Exit.USAGE


def test_what_else_has_the_key_is_proposed_and_what_must_be_confirmed_is_not_waited_for(desk: Desk) -> None:
    answer = sample_results()[replies.RevokeResult].model_copy(update={"request_id": REQUEST})
    desk.broker.answers[commands.RevokeCertificate] = lambda _: answer
    said = desk.run("revoke", REQUEST, "--reason", "superseded").stdout
    assert f"ra revoke {OTHER} --reason keyCompromise" in said
    assert f"ra revocations confirm {REQUEST}" in said


def test_revocations_are_listed_shown_and_confirmed_exactly_as_they_were_shown(desk: Desk) -> None:
    waits = sample_results()[replies.RevocationResult]
    assert isinstance(waits, replies.RevocationResult)
    waits = waits.model_copy(
        update={"request_id": REQUEST, "revocation": waits.revocation.model_copy(update={"request_id": REQUEST})}
    )
    for asked in (commands.ShowRevocation, commands.ConfirmRevocation, commands.DenyRevocation):
        desk.broker.answers[asked] = lambda _: waits
    page = replies.RevocationsResult(revocations=(waits.revocation,), more=True)
    desk.broker.answers[commands.ListRevocations] = lambda _: page
    assert f"ra revocations list --after {REQUEST}" in desk.run("revocations", "list").stdout
    assert "superseded" in desk.run("revocations", "show", REQUEST).stdout
    assert desk.run("revocations", "confirm", REQUEST, "--yes").exit_code == Exit.OK
    assert desk.run("revocations", "deny", REQUEST, "--yes", "--note", "in use").exit_code == Exit.OK
    *_, confirmed, _, denied = desk.broker.commands()
    assert isinstance(confirmed, commands.ConfirmRevocation)
    assert isinstance(denied, commands.DenyRevocation)
    said = RevocationConfirmation.read(payload_of(denied.confirmation.jws), code="x")
    assert (said.revocation_id, said.confirmation, said.note) == (waits.revocation.revocation_id, "deny", "in use")


# --- deciding -----------------------------------------------------------------------------------------------------


def _case(desk: Desk, *, renewed: bool = False, **content: object) -> world.Approved:
    begun = world.accepted(world.content(**content))  # type: ignore[arg-type]  # fields of a request
    if renewed:
        begun = world.renewed(begun, world.policy())
    earlier = world.decision(begun.digest, begun.revision.request_id, by="ben", note=HOSTILE)
    case = replies.CaseResult(
        request_id=begun.revision.request_id,
        state=State.PENDING,
        revision=begun.evidence.revisions[-1],
        former=begun.evidence.revisions[-2] if renewed else None,
        decisions=(earlier,),
        not_counting=((finding("decision.stale", HOSTILE),),) if renewed else (),
        quorum=2,
        returned_because=(finding("a.b", HOSTILE),),
        blocked_because=(finding("a.c", HOSTILE),) if renewed else (),
    )

    desk.cases[case.request_id] = case

    def show(message: Received[Model]) -> replies.CaseResult | Outgoing:
        if message.subject in desk.cases:
            return desk.cases[message.subject]
        return reply_refused(message, [finding("request.unknown", "no such request")], at=world.NOW)

    def decide(message: Received[Model]) -> replies.DecisionResult:
        return replies.DecisionResult(request_id=RequestId(message.subject), state=State.PENDING, approvals=1, quorum=2)

    desk.broker.answers |= {commands.ShowCase: show, commands.ApproveRequest: decide, commands.DenyRequest: decide}
    return begun


def _decisions(desk: Desk) -> list[Decision]:
    return [Decision.read(payload_of(each.decision.jws), code="a.b") for each in _sent(desk)]


def _sent(desk: Desk) -> list[commands.ApproveRequest | commands.DenyRequest]:
    return [each for each in desk.broker.commands() if isinstance(each, commands.ApproveRequest | commands.DenyRequest)]


def test_show_shows_all_that_is_signed_for_and_nothing_that_acts_on_the_terminal(desk: Desk) -> None:
    begun = _case(desk, notes=f"one\nRevision: {HOSTILE}", emails=["a@b.example"], expires_on="2027-01-31")
    result = desk.run("desk", "show", begun.revision.request_id)
    assert result.exit_code == Exit.OK
    for shown in (
        begun.digest,
        begun.revision.public_key or "-",
        begun.revision.submission,
        begun.revision.policy.intermediate,
        "ecdsa-p256",
        "CN=www.example.com",
        "dns www.example.com",
        "serverAuth",
        "ssl_basic",
        "2027-01-31",
        "| Revision: evil",
        "a@b.example",
        "approve by ben (signature not verified)",
        "NOT VERIFIED: the profile names no anchor",
        "Returned because",
    ):
        assert shown in result.stdout
    assert "\x1b" not in result.output
    assert "\u202e" not in result.output


def test_a_renewed_case_is_shown_with_approvals_signature_and_with_what_speaks_against_approving_it(desk: Desk) -> None:
    desk.write_profile(signing=True, anchor=Anchor.of(world.policy()))
    begun = _case(desk, renewed=True)
    shown = desk.run("desk", "show", begun.revision.request_id)
    assert "Approval's signature: verified" in shown.stdout
    assert f"2, {begun.digest}" in shown.stdout
    assert "Can't be approved" in shown.stdout
    assert "a.c" in shown.stdout
    assert "does NOT count: decision.stale" in shown.stdout
    assert "\x1b" not in shown.output


def test_with_an_anchor_a_case_is_shown_as_verified_and_a_forged_one_not_at_all(desk: Desk) -> None:
    desk.write_profile(signing=True, anchor=Anchor.of(world.policy()))
    begun = _case(desk)
    shown = desk.run("desk", "show", begun.revision.request_id)
    assert "Intake's signature: verified" in shown.stdout
    strangers = Anchor.of(world.policy()).model_copy(
        update={"duties": {duty: (world.signing_key("mallory").public,) for duty in Duty}}
    )
    desk.write_profile(signing=True, anchor=strangers)
    refused = desk.run("desk", "approve", begun.revision.request_id, "--yes")
    assert refused.exit_code == Exit.REFUSED
    assert _decisions(desk) == []


@pytest.mark.parametrize("kind", list(DecisionKind))
def test_a_decision_is_made_on_what_was_shown_and_only_after_a_yes(desk: Desk, kind: DecisionKind) -> None:
    begun = _case(desk)
    request_id = begun.revision.request_id
    no = desk.run("desk", kind, request_id, typed="n\n")
    assert "left as it is" in no.stdout
    nobody = desk.run("desk", kind, request_id, typed="")
    assert nobody.exit_code == Exit.USAGE
    assert _decisions(desk) == []
    yes = desk.run("desk", kind, request_id, "--note", "seen", typed="y\n")
    assert yes.exit_code == Exit.OK
    assert begun.digest in yes.stdout
    (said,) = _decisions(desk)
    assert (said.decision, said.revision, said.note, said.approver) == (kind, begun.digest, "seen", "alice")


def test_a_program_gets_json_while_what_is_signed_is_shown_aside(desk: Desk) -> None:
    begun = _case(desk)
    result = desk.run("desk", "approve", begun.revision.request_id, "--yes", "--json")
    assert json.loads(result.stdout)["approvals"] == 1
    assert begun.digest in result.stderr


def test_each_of_several_requests_is_judged_on_its_own(desk: Desk) -> None:
    begun = _case(desk)
    result = desk.run("desk", "approve", REQUEST, begun.revision.request_id, "--yes", "--json")
    assert result.exit_code == Exit.REFUSED
    refused, done = map(json.loads, result.stdout.splitlines())
    assert refused["code"] == "refused"
    assert REQUEST in refused["message"]
    assert done["request_id"] == begun.revision.request_id
    assert len(_decisions(desk)) == 1


@pytest.mark.parametrize("kind", list(DecisionKind))
def test_several_requests_are_all_shown_then_asked_about_once_and_signed_for_once(
    desk: Desk, kind: DecisionKind
) -> None:
    begun = [_case(desk) for _ in range(3)]
    ids = [each.revision.request_id for each in begun]
    no = desk.run("desk", kind, *ids, typed="n\n")
    assert no.stdout.count("left as it is") == 3
    assert _sent(desk) == []
    yes = desk.run("desk", kind, *ids, "--note", "seen", typed="y\n")
    assert yes.exit_code == Exit.OK
    assert yes.output.count("Sign that you") == 1
    assert all(each.digest in yes.stdout for each in begun)
    sent = _sent(desk)
    assert [each.request_id for each in sent] == ids
    (token,) = {each.decision.jws for each in sent}
    said = Decisions.read(payload_of(token), code="a.b")
    assert [each.revision for each in said.requests] == [each.digest for each in begun]


def test_what_cannot_be_shown_is_left_out_of_what_is_signed_together(desk: Desk) -> None:
    first, second = _case(desk), _case(desk)
    result = desk.run("desk", "deny", first.revision.request_id, REQUEST, second.revision.request_id, "--yes")
    assert result.exit_code == Exit.REFUSED
    assert REQUEST in result.stderr
    assert len(_sent(desk)) == 2


def test_one_signature_is_not_asked_for_too_many(desk: Desk) -> None:
    ids = [new_request_id() for _ in range(MOST_AT_ONCE + 1)]
    assert desk.run("desk", "approve", *ids, "--yes").exit_code == Exit.USAGE
    assert desk.broker.published == []


def test_a_decision_can_be_tied_to_the_revision_that_was_looked_at_before(desk: Desk) -> None:
    begun = _case(desk)
    request_id = begun.revision.request_id
    other = desk.run("desk", "approve", request_id, "--yes", "--revision", digest_of(b"other"))
    assert other.exit_code == Exit.REFUSED
    assert desk.run("desk", "approve", request_id, REQUEST, "--revision", begun.digest).exit_code == Exit.USAGE
    assert _decisions(desk) == []
    assert desk.run("desk", "approve", request_id, "--yes", "--revision", begun.digest).exit_code == Exit.OK
    assert len(_decisions(desk)) == 1


def test_without_a_key_nobody_is_asked_for_a_decision(desk: Desk) -> None:
    desk.write_profile(signing=False)
    begun = _case(desk)
    result = desk.run("desk", "approve", begun.revision.request_id, typed="y\n")
    assert result.exit_code == Exit.CONFIGURATION
    assert desk.broker.published == []


def test_help_names_every_exit_status_and_every_reason() -> None:
    shown = " ".join(CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout.split())
    for status in Exit:
        assert f"{int(status)} " in shown
    reasons = CliRunner().invoke(app, ["revoke", "--help"], env={"COLUMNS": "400"}).stdout
    assert all(reason in reasons for reason in RevocationReason)


def test_the_version_is_shown() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("ra 0.")


def test_what_is_entered_beside_the_csr_is_submitted_with_it(desk: Desk) -> None:
    result = desk.run(
        "submit",
        "csr",
        desk.csr(),
        "--dn",
        "CN=shop.example.com",
        "--san",
        "dns:shop.example.com",
        "--signature-hash",
        "sha384",
    )
    assert result.exit_code == Exit.OK
    sent = desk.submitted()
    assert [str(each) for each in sent.entered.subject] == ["CN=shop.example.com"]
    assert sent.entered.names.dns == ("shop.example.com",)
    assert sent.signature_hash == "sha384"


def test_a_request_can_be_printed_instead_of_sent(desk: Desk) -> None:
    result = desk.run("submit", "csr", desk.csr("www.example.com"), "--print")
    assert result.exit_code == Exit.OK
    assert RequestContent.read(result.stdout, code="a.b").name == "www.example.com"
    assert not [sent for sent in desk.broker.commands() if isinstance(sent, commands.SubmitRequest)]


# --- orders -------------------------------------------------------------------------------------------------------


def _order(state: OrderState) -> replies.OrderSummary:
    return replies.OrderSummary(
        request_id=RequestId(REQUEST),
        approval_group=ApprovalGroupName("web"),
        state=state,
        accepted_at=datetime.now(UTC),
        findings=(finding("a.b", HOSTILE),),
    )


def test_orders_that_wait_are_listed_with_their_reason_and_nothing_that_acts_on_the_terminal(desk: Desk) -> None:
    desk.broker.answers[commands.ListOrders] = _always(
        replies.OrdersResult(orders=(_order(OrderState.UNCLEAR),), more=True)
    )
    result = desk.run("orders", "list", "--group", "web", "--state", "unclear", "--state", "pending")
    assert result.exit_code == Exit.OK
    assert "unclear" in result.stdout
    assert f"ra orders list --after {REQUEST}" in result.stdout
    assert not set("\x1b\u202e") & set(result.stdout)
    (sent,) = desk.broker.commands()
    assert sent == commands.ListOrders(
        approval_group=ApprovalGroupName("web"), states=(OrderState.UNCLEAR, OrderState.PENDING)
    )


def test_an_order_is_shown_with_its_reasons_and_what_to_do(desk: Desk) -> None:
    desk.broker.answers[commands.ShowOrder] = _always(
        replies.OrderResult(
            order=_order(OrderState.UNCLEAR), what_to_do="Look there.", requesters=(), tries=2, attempt=1
        )
    )
    result = desk.run("orders", "show", REQUEST)
    assert result.exit_code == Exit.OK
    for text in ("unclear", "Look there.", "2 times", "not by itself", "(a.b)"):
        assert text in result.stdout


@pytest.mark.parametrize(("arguments", "adopt"), [(("--adopt", "77"), 77), (("--none",), None)])
def test_an_unclear_order_is_settled_in_one_of_two_ways(
    desk: Desk, arguments: tuple[str, ...], adopt: int | None
) -> None:
    settled = replies.SettleResult(request_id=RequestId(REQUEST), state=OrderState.UNCLEAR)
    desk.broker.answers[commands.SettleOrder] = _always(settled)
    result = desk.run("orders", "settle", REQUEST, *arguments)
    assert result.exit_code == Exit.OK
    assert desk.broker.commands() == [
        commands.SettleOrder(request_id=RequestId(REQUEST), adopt=None if adopt is None else OrderId(adopt))
    ]


def test_an_operator_ends_a_request_with_a_reason(desk: Desk) -> None:
    accepted = replies.SettleResult(request_id=RequestId(REQUEST), state=OrderState.PENDING)
    desk.broker.answers[commands.FailOrder] = _always(accepted)
    result = desk.run("orders", "fail", REQUEST, "--reason", " its host is gone ")
    assert result.exit_code == Exit.OK
    assert f"ra orders show {REQUEST}" in result.stdout
    assert desk.broker.commands() == [commands.FailOrder(request_id=RequestId(REQUEST), reason="its host is gone")]


@pytest.mark.parametrize("arguments", [(), ("--reason", " "), ("--reason", "x" * 501)])
def test_without_a_reason_of_some_length_nothing_is_ended(desk: Desk, arguments: tuple[str, ...]) -> None:
    result = desk.run("orders", "fail", REQUEST, *arguments)
    assert (result.exit_code, desk.broker.commands()) == (Exit.USAGE, [])


def test_an_approval_that_a_ledger_has_lost_is_told_again(desk: Desk) -> None:
    told = replies.ResendResult(request_id=RequestId(REQUEST), state=State.APPROVED)
    desk.broker.answers[commands.ResendVerdict] = _always(told)
    result = desk.run("orders", "resend", REQUEST)
    assert result.exit_code == Exit.OK
    assert f"ra orders show {REQUEST}" in result.stdout
    assert desk.broker.commands() == [commands.ResendVerdict(request_id=RequestId(REQUEST))]


@pytest.mark.parametrize("arguments", [(), ("--adopt", "77", "--none")])
def test_without_saying_one_of_them_nothing_is_settled(desk: Desk, arguments: tuple[str, ...]) -> None:
    result = desk.run("orders", "settle", REQUEST, *arguments)
    assert (result.exit_code, desk.broker.commands()) == (Exit.USAGE, [])
