"""`ra revoke --campaign`: a list is made, signed by two people who see the revoker's own counts, sent, and reported."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.desk.campaigns import CampaignFile, finish, progress_line
from services.desk.exits import Exit
from shared.contracts import commands, replies
from shared.evidence.campaigns import CampaignSignature
from shared.evidence.jws import payload_of
from shared.identifiers import new_request_id
from shared.messaging.messages import Received
from shared.vocabulary.findings import finding
from shared.vocabulary.model import Model, digest_of
from shared.vocabulary.names import ApprovalGroupName, IdentityName, RequestId
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import CertificateState
from tests.fakes.samples import MOMENT, sample_results
from tests.unit.test_desk_commands import Desk

QUERY = "group=web issuer=CN=An Issuer, O=Ours issued-after=2026-01-01 issued-before=2026-02-01T12:00Z requester=shop"
MADE = ("--reason", "superseded", "--notes", "a rotation", "--dry-run")


class Campaigns(Desk):
    """`ra` and a revoker that knows of some certificates."""

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__(folder)
        self.live = [_certificate(number) for number in range(count)]
        self.left_out: tuple[replies.LeftOut, ...] = ()
        self.progress = [_progress(revoked=count, count=count)]
        self.broker.answers |= {
            commands.ListCertificates: self._list,
            commands.RevokeCampaign: self._revoke,
            commands.ShowCampaign: lambda _: self.progress.pop(0) if len(self.progress) > 1 else self.progress[0],
            commands.ListRevocations: self._revocations,
        }

    def _list(self, message: Received[Model]) -> replies.CertificatesResult:
        ask = message.data
        assert isinstance(ask, commands.ListCertificates)
        named = {*ask.request_ids, *ask.serial_numbers}
        found = [each for each in self.live if not named or named & {each.request_id, each.serial_number}]
        rest = [each for each in found if ask.after is None or each.request_id > ask.after]
        page = tuple(rest[:70])
        return replies.CertificatesResult(certificates=page, next=page[-1].request_id if len(rest) > 70 else None)

    def _revoke(self, message: Received[Model]) -> replies.CampaignPartResult:
        ask = message.data
        assert isinstance(ask, commands.RevokeCampaign)
        left_out = tuple(each for each in self.left_out if each.request_id in {c.request_id for c in ask.certificates})
        accepted = len(ask.certificates) - len(left_out)
        return replies.CampaignPartResult(
            campaign=ask.campaign.digest, part=ask.part, accepted=accepted, left_out=left_out
        )

    def _revocations(self, message: Received[Model]) -> replies.RevocationsResult:
        ask = message.data
        assert isinstance(ask, commands.ListRevocations)
        assert ask.campaign == self.file().campaign.digest
        assert set(ask.states) == set(CertificateState)
        sample = sample_results()[replies.RevocationResult]
        assert isinstance(sample, replies.RevocationResult)
        found = [
            sample.revocation.model_copy(update={"request_id": each.request_id, "state": state})
            for each, state in zip(self.live, (CertificateState.REVOKED, CertificateState.LIVE), strict=False)
        ]
        rest = [each for each in found if ask.after is None or each.request_id > ask.after]
        return replies.RevocationsResult(revocations=tuple(rest[:1]), more=len(rest) > 1)

    def file(self) -> CampaignFile:
        return CampaignFile.read((self.folder / "campaign.json").read_bytes(), code="a.b")

    def be(self, name: str) -> None:
        self.profile.write_text(self.profile.read_text().replace('identity = "alice"', f'identity = "{name}"'))

    def made(self, source: str = "group=web") -> None:
        result = self.run("revoke", "--campaign", source, *MADE, "--cap", "500", "-o", "campaign.json")
        assert result.exit_code == Exit.OK, result.output

    def signed(self) -> None:
        self.made()
        for name in ("alice", "ben"):
            self.be(name)
            result = self.run("revoke", "--campaign", "campaign.json", "--sign", "--yes")
            assert result.exit_code == Exit.OK, result.output

    def sent(self, kind: type[Model]) -> list[Model]:
        return [each for each in self.broker.commands() if isinstance(each, kind)]


def _certificate(number: int) -> replies.LiveCertificate:
    return replies.LiveCertificate(
        request_id=RequestId(f"0190a0c0-1111-7000-8000-{number:012x}"),
        certificate=digest_of(str(number).encode()),
        serial_number=f"{number + 10:x}",
        issuer="CN=Evil\x1b[2J",
        approval_group=ApprovalGroupName("web" if number % 2 else "mail"),
        requesters=(IdentityName("shop"),),
        not_after=MOMENT,
    )


def _progress(*, revoked: int = 0, revoking: int = 0, failed: int = 0, count: int = 10) -> replies.CampaignResult:
    return replies.CampaignResult(
        campaign=digest_of(b"c"),
        reason=RevocationReason.SUPERSEDED,
        count=count,
        started_at=MOMENT,
        deadline=MOMENT + timedelta(days=5),
        requested=0,
        revoking=revoking,
        revoked=revoked,
        failed=failed,
    )


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Campaigns:
    desk = Campaigns(tmp_path, 250)
    monkeypatch.setattr("services.desk.frame.connect", desk.broker.connect)
    monkeypatch.setattr("services.desk.commands.campaigns.LOOK_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    return desk


def test_a_dry_run_counts_by_group_issuer_and_requester_and_revokes_nothing(desk: Campaigns) -> None:
    result = desk.run("revoke", "--campaign", QUERY, *MADE, "--cap", "250")
    assert result.exit_code == Exit.OK
    for said in ("Certificates: 250", "125 mail", "125 web", "250 shop", "250 CN=Evil"):
        assert said in result.stdout
    assert "\x1b" not in result.output
    asked = desk.broker.commands()[0]
    assert isinstance(asked, commands.ListCertificates)
    assert (asked.approval_group, asked.issuer, asked.requester) == ("web", "CN=An Issuer, O=Ours", "shop")
    assert (asked.issued_after, asked.issued_before) == (
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 2, 1, 12, tzinfo=UTC),
    )
    assert {type(each) for each in desk.broker.commands()} == {commands.ListCertificates}
    assert not (desk.folder / "campaign.json").exists()


def test_more_than_the_cap_are_counted_and_no_list_is_written(desk: Campaigns) -> None:
    result = desk.run("revoke", "--campaign", "group=web", *MADE, "--cap", "249", "-o", "campaign.json")
    assert result.exit_code == Exit.REFUSED
    assert "Certificates: 250" in result.stdout
    assert "campaign.over-cap" in result.stderr
    assert not (desk.folder / "campaign.json").exists()


def test_a_file_names_certificates_by_request_or_serial_number_and_what_is_unknown_is_said(desk: Campaigns) -> None:
    unknown = new_request_id()
    first, second = desk.live[:2]
    serial = f"00:{second.serial_number.upper()}"
    (desk.folder / "list").write_text(f"# ours\n{first.request_id}  # web\n\n{serial}\n{serial}\n{unknown}\n")
    result = desk.run("revoke", "--campaign", "list", *MADE, "--cap", "2", "-o", "campaign.json")
    assert result.exit_code == Exit.OK
    assert f"{unknown}: no good certificate" in result.stdout
    assert [each.request_id for each in desk.file().certificates] == [first.request_id, second.request_id]
    (desk.folder / "list").write_text("what is this\n")
    assert desk.run("revoke", "--campaign", "list", *MADE, "--cap", "2").exit_code == Exit.USAGE


def test_two_people_sign_the_same_and_then_all_parts_are_sent_as_often_as_one_likes(desk: Campaigns) -> None:
    desk.signed()
    file = desk.file()
    said = [CampaignSignature.read(payload_of(each.jws), code="a.b") for each in file.signatures]
    assert [each.signer for each in said] == ["alice", "ben"]
    assert {each.campaign for each in said} == {file.campaign.digest}
    for _ in range(2):
        assert desk.run("revoke", "--campaign", "campaign.json").exit_code == Exit.OK
    sent = [each for each in desk.sent(commands.RevokeCampaign) if isinstance(each, commands.RevokeCampaign)]
    assert [each.part for each in sent] == [0, 1, 2, 0, 1, 2]
    assert tuple(entry for each in sent[:3] for entry in each.certificates) == file.certificates
    assert all(each.signatures == file.signatures for each in sent)


def test_signing_again_takes_the_place_of_ones_own_signature(desk: Campaigns) -> None:
    desk.signed()
    assert desk.run("revoke", "--campaign", "campaign.json", "--sign", "--yes").exit_code == Exit.OK
    assert len(desk.file().signatures) == 2


def test_the_second_person_sees_the_revokers_own_counts_and_signs_nothing_unless_asked(desk: Campaigns) -> None:
    desk.made()
    before = desk.file()
    result = desk.run("revoke", "--campaign", "campaign.json", "--sign", typed="n\n")
    assert result.exit_code not in (Exit.OK, Exit.INTERNAL)
    assert "125 mail" in result.output
    assert desk.file() == before


def test_a_list_that_the_revoker_knows_otherwise_is_not_signed(desk: Campaigns) -> None:
    desk.made()
    before, whole = desk.file(), list(desk.live)
    other = whole[0].model_copy(update={"certificate": digest_of(b"another")})
    moved = [each.model_copy(update={"approval_group": ApprovalGroupName("shop")}) for each in whole]
    for known in ([other, *whole[1:]], whole[1:], moved):
        desk.live = known
        result = desk.run("revoke", "--campaign", "campaign.json", "--sign", "--yes")
        assert result.exit_code == Exit.REFUSED
        assert "campaign.list-differs" in result.stderr
        assert desk.file() == before


@pytest.mark.parametrize("change", ["exchanged", "shortened", "doubled"])
def test_a_file_whose_list_is_not_the_campaigns_is_neither_signed_nor_sent(desk: Campaigns, change: str) -> None:
    desk.signed()
    file, asked = desk.file(), len(desk.broker.published)
    first, second, *rest = file.certificates
    lists = {"exchanged": (second, first, *rest), "shortened": (first, *rest), "doubled": (first, first, *rest)}
    changed = file.model_copy(update={"certificates": lists[change]})
    (desk.folder / "campaign.json").write_bytes(changed.canonical())
    for more in (["--sign", "--yes"], []):
        result = desk.run("revoke", "--campaign", "campaign.json", *more)
        assert result.exit_code == Exit.REFUSED
        assert "campaign.list-differs" in result.stderr
    assert len(desk.broker.published) == asked


def test_what_only_one_has_signed_is_not_sent(desk: Campaigns) -> None:
    desk.made()
    desk.run("revoke", "--campaign", "campaign.json", "--sign", "--yes")
    assert desk.run("revoke", "--campaign", "campaign.json").exit_code == Exit.USAGE
    assert desk.sent(commands.RevokeCampaign) == []


def test_watching_goes_on_until_nothing_is_open_and_the_report_has_each_certificate(desk: Campaigns) -> None:
    desk.signed()
    left = desk.live[2].request_id
    desk.left_out = (replies.LeftOut(request_id=left, findings=(finding("revocation.reason-differs", "busy"),)),)
    desk.progress = [_progress(revoking=9), _progress(revoked=4, revoking=5), _progress(revoked=8, failed=1)]
    result = desk.run("revoke", "--campaign", "campaign.json", "--watch", "--report", "report.jsonl")
    assert result.exit_code == Exit.REFUSED
    assert len(desk.sent(commands.ShowCampaign)) == 3
    assert "4 of 10 revoked, 5 under way" in result.stdout
    assert "nothing is open" in result.stdout
    lines = [json.loads(line) for line in (desk.folder / "report.jsonl").read_text().splitlines()]
    assert [each["request_id"] for each in lines] == [each.request_id for each in desk.live]
    assert [each["result"] for each in lines[:4]] == ["revoked", "failed", "left-out", "left-out"]
    assert lines[2]["findings"][0]["code"] == "revocation.reason-differs"
    again = desk.run("revoke", "--campaign", "campaign.json", "--report", "report.jsonl")
    assert again.exit_code == Exit.USAGE


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--campaign", "group=web", "--reason", "superseded", "--cap", "5"],
        ["--campaign", "group=web", "--dry-run", "--cap", "5"],
        ["--campaign", "group=web", "--dry-run", "--reason", "superseded"],
        ["--campaign", "group=web group=mail", *MADE, "--cap", "5"],
        ["--campaign", "issued-after=yesterday", *MADE, "--cap", "5"],
        ["--campaign", "key=nonsense", *MADE, "--cap", "5"],
        ["--campaign", "group=web", *MADE, "--cap", "5", "--sign"],
        ["--campaign", "missing", "--sign", "--watch"],
        ["--campaign", "missing"],
        ["--campaign", "group=web", new_request_id(), *MADE, "--cap", "5"],
        [new_request_id(), "--reason", "superseded", "--dry-run"],
    ],
)
def test_options_that_do_not_go_together_send_nothing(desk: Campaigns, arguments: list[str]) -> None:
    assert desk.run("revoke", *arguments).exit_code == Exit.USAGE
    assert desk.broker.published == []


def test_the_finish_is_estimated_from_the_pace_and_lateness_is_said() -> None:
    hour = timedelta(hours=1)
    assert finish((MOMENT, 0), (MOMENT + hour, 10), 20) == MOMENT + 3 * hour
    assert finish((MOMENT, 5), (MOMENT + hour, 5), 20) is None
    seen = _progress(revoked=4, revoking=6)
    assert "no pace yet" in progress_line(seen, None)
    assert "LATE" in progress_line(seen, seen.deadline + hour)
    assert "LATE" not in progress_line(seen, seen.deadline - hour)
