"""Campaigns: whose word they need, that nothing but the signed list is revoked, and each certificate once."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.revoker import rules
from shared.client.client import RaClient
from shared.client.profile import BrokerProfile, Profile
from shared.contracts import commands
from shared.contracts.campaigns import MOST_OF_A_PART, Campaign, CampaignEntry, digest_of_part, parts_of
from shared.contracts.statement import JwsStatement
from shared.evidence.campaigns import CampaignSignature
from shared.evidence.jws import Typ, payload_of
from shared.evidence.steps import Revocation
from shared.identifiers import new_request_id
from shared.messaging.messages import Delivery
from shared.vocabulary.findings import finding
from shared.vocabulary.model import digest_of
from shared.vocabulary.names import IdentityName, MessageId
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.revocations import CertificateState
from tests import world
from tests.fakes.duties import Revoker, data_of
from tests.fakes.duties import command as command_of
from tests.fakes.lives import WEB, begin
from tests.fakes.revocations import issued
from tests.world import signing_key

ASKED, REVOKED, BLOCKED = "ra.revocation.asked.v1", "ra.certificate.revoked.v1", "ra.key.blocked.v1"
CAMPAIGN = MessageId("0190a0c0-2222-4000-8000-000000000002")


def permitting() -> str:
    """A policy by which alice and ben may revoke."""
    words = '["decide", "view"]', '["decide", "view", "submit"]'
    return world.policy_text(**{each: each.replace('"view"', '"view", "revoke"') for each in words})


class Office:
    """A revoker that knows of some certificates, and people who sign campaigns."""

    def __init__(self, policy_text: str | None = None) -> None:
        self.revoker = Revoker(policy_text or permitting())
        self.entries: list[CampaignEntry] = []

    @classmethod
    async def with_certificates(cls, count: int, policy_text: str | None = None) -> "Office":
        made = cls(policy_text)
        for _ in range(count):
            case = await issued(begin(world.content(new_request_id())).approved().issued(), revoker=made.revoker)
            made.entries.append(CampaignEntry(request_id=case.id, certificate=(await case.stored()).digest))
        return made

    def campaign(self, entries: Sequence[CampaignEntry] | None = None, **says: object) -> Campaign:
        parts = parts_of(entries or self.entries)
        said = {
            "campaign_id": CAMPAIGN,
            "reason": RevocationReason.SUPERSEDED,
            "notes": "a rotation",
            "cap": 10,
            "count": sum(map(len, parts)),
            "groups": (WEB,),
            "parts": tuple(map(digest_of_part, parts)),
            **says,
        }
        return Campaign.model_validate(said)

    def signed(self, campaign: Campaign, by: str, *, key: str | None = None, ago: timedelta = timedelta(0)) -> Any:
        said = CampaignSignature.on(campaign, by)
        at = self.revoker.clock.now() - ago
        return JwsStatement(jws=signing_key(key or by).sign(said.canonical(), Typ.CAMPAIGN, at))

    def command(
        self,
        campaign: Campaign | None = None,
        signatures: Sequence[Any] | None = None,
        entries: Sequence[CampaignEntry] | None = None,
        part: int = 0,
    ) -> commands.RevokeCampaign:
        campaign = campaign or self.campaign()
        both = signatures or [self.signed(campaign, name) for name in ("alice", "ben")]
        chosen = tuple(entries or parts_of(self.entries)[part])
        return commands.RevokeCampaign(campaign=campaign, signatures=tuple(both), part=part, certificates=chosen)

    async def states(self) -> list[str]:
        return [str(each.state) for each in await self.revoker.certificates.these([e.request_id for e in self.entries])]

    def told(self, kind: str) -> list[str]:
        return sorted({str(each.id) for each in self.revoker.publisher.published if each.type == kind})


async def test_two_people_have_a_list_revoked_and_each_certificate_names_the_campaign() -> None:
    office = await Office.with_certificates(3)
    left_alone = office.entries.pop()
    campaign = office.campaign()
    answer: Any = (await office.revoker.ask(office.command(), by="alice")).result
    assert (answer.campaign, answer.accepted, answer.left_out) == (campaign.digest, 2, ())
    await office.revoker.work_off()
    assert await office.states() == ["revoked", "revoked"]
    assert len(office.told(REVOKED)) == len(office.told(ASKED)) == 2
    for event in office.revoker.publisher.published:
        if event.type == REVOKED:
            said = Revocation.read(payload_of(data_of(event)["revocation"]), code="x")
            assert (said.campaign, said.requested_by, said.notes) == (campaign.digest, "alice", "a rotation")
    other = await office.revoker.certificates.load(left_alone.request_id)
    assert other is not None
    assert other.state is CertificateState.LIVE
    progress: Any = (await office.revoker.ask(commands.ShowCampaign(campaign=campaign.digest), by="ben")).result
    assert (progress.count, progress.revoked, progress.revoking, progress.failed) == (2, 2, 0, 0)
    assert progress.deadline - progress.started_at == timedelta(days=5)
    page: Any = (
        await office.revoker.ask(
            commands.ListRevocations(states=(CertificateState.REVOKED,), campaign=campaign.digest), by="ben"
        )
    ).result
    assert {each.request_id for each in page.revocations} == {each.request_id for each in office.entries}
    assert all(each.ended_at is not None for each in page.revocations)


async def test_a_campaign_sent_again_or_after_it_is_finished_revokes_nothing_twice() -> None:
    office = await Office.with_certificates(2)
    for _ in range(2):
        answer: Any = (await office.revoker.ask(office.command(), by="alice")).result
        assert answer.accepted == 2
    await office.revoker.work_off()
    before = [await office.revoker.certificates.load(each.request_id) for each in office.entries]
    calls = office.revoker.ca.calls
    answer = (await office.revoker.ask(office.command(), by="ben")).result
    await office.revoker.work_off()
    assert answer.accepted == 2
    assert [await office.revoker.certificates.load(each.request_id) for each in office.entries] == before
    assert (office.revoker.ca.calls, len(office.told(ASKED))) == (calls, 2)


async def test_what_the_ca_refused_is_not_asked_for_again_by_the_same_campaign() -> None:
    office = await Office.with_certificates(1)
    await office.revoker.ask(office.command(), by="alice")
    known = await office.revoker.certificates.load(office.entries[0].request_id)
    assert known is not None
    ended = rules.ended(known, (finding("ca.refused", "no"),)).model_copy(update={"due": None})
    await office.revoker.certificates.replace(ended)
    await office.revoker.ask(office.command(), by="alice")
    assert await office.states() == ["live"]
    progress: Any = (
        await office.revoker.ask(commands.ShowCampaign(campaign=office.campaign().digest), by="alice")
    ).result
    assert (progress.failed, progress.revoked) == (1, 0)


async def test_what_can_not_be_revoked_is_left_out_and_the_others_go_on() -> None:
    office = await Office.with_certificates(2)
    busy = office.entries[0].request_id
    single = commands.RevokeCertificate(request_id=busy, reason=RevocationReason.UNSPECIFIED)
    await office.revoker.ask(single, by="alice")
    answer: Any = (await office.revoker.ask(office.command(), by="alice")).result
    assert answer.accepted == 1
    assert [(each.request_id, each.findings[0].code) for each in answer.left_out] == [
        (busy, "revocation.reason-differs")
    ]


async def test_a_key_compromise_blocks_the_key_of_each_at_once() -> None:
    office = await Office.with_certificates(2)
    campaign = office.campaign(reason=RevocationReason.KEY_COMPROMISE)
    await office.revoker.ask(office.command(campaign), by="alice")
    assert len(office.told(BLOCKED)) == 2


REFUSED: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "more than the cap": ("alice", {"cap": 1}, {}, "campaign.over-cap"),
    "another list than was signed": ("alice", {}, {"signed": {"notes": "other"}}, "campaign.signature-differs"),
    "another reason than was signed": (
        "alice",
        {},
        {"signed": {"reason": "unspecified"}},
        "campaign.signature-differs",
    ),
    "a raised cap": ("alice", {}, {"signed": {"cap": 5}}, "campaign.signature-differs"),
    "the same person twice": ("alice", {}, {"signers": ("alice", "alice")}, "campaign.same-person"),
    "a system": ("alice", {}, {"signers": ("alice", "shop")}, "campaign.same-person"),
    "somebody else's signature": ("alice", {}, {"keys": ("alice", "alice")}, "evidence.unknown-key"),
    "somebody who did not sign": ("olga", {}, {}, "campaign.not-signer"),
    "old signatures": ("alice", {}, {"ago": timedelta(days=8)}, "campaign.signature-old"),
    "a part that is missing": ("alice", {}, {"entries": slice(0, 1)}, "campaign.part-differs"),
    "a part in another order": ("alice", {}, {"entries": slice(None, None, -1)}, "campaign.part-differs"),
    "a part that there is not": ("alice", {}, {"part": 7}, "campaign.part-differs"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_nothing_is_revoked_by(case: str) -> None:
    by, says, how, code = REFUSED[case]
    office = await Office.with_certificates(2)
    campaign = office.campaign(**says)
    meant = office.campaign(**how.get("signed", says))
    signers = how.get("signers", ("alice", "ben"))
    keys = how.get("keys", signers)
    signatures = [
        office.signed(meant, name, key=key, ago=how.get("ago", timedelta(0)))
        for name, key in zip(signers, keys, strict=True)
    ]
    command = office.command(campaign, signatures, office.entries[how.get("entries", slice(None))])
    command = command.model_copy(update={"part": how.get("part", 0)})
    assert await office.revoker.refused(command, by=by) == [code]
    assert await office.states() == ["live", "live"]
    assert office.revoker.campaigns.all() == []


async def test_both_need_the_permission_for_every_group() -> None:
    office = await Office.with_certificates(1, world.policy_text())
    assert await office.revoker.refused(office.command(), by="alice") == ["campaign.not-permitted"]
    assert await office.states() == ["live"]


async def test_a_certificate_of_another_group_or_another_certificate_is_not_revoked() -> None:
    office = await Office.with_certificates(2)
    of_mail = office.campaign(groups=("mail",))
    codes = await office.revoker.refused(office.command(of_mail), by="alice")
    assert codes == ["campaign.not-permitted"]
    office.entries[1] = office.entries[1].model_copy(update={"certificate": digest_of(b"another")})
    assert await office.revoker.refused(office.command(), by="alice") == ["campaign.certificate-differs"]
    assert await office.states() == ["live", "live"]


async def test_a_part_that_was_accepted_is_told_of_again_even_if_it_would_be_refused_by_now() -> None:
    office = await Office.with_certificates(1)
    command = office.command()
    delivery: Delivery = command_of(command, by="alice")
    await office.revoker.handle(delivery)
    told = office.told(ASKED)
    office.revoker.clock.advance(timedelta(days=8))
    office.revoker.publisher.published.clear()
    await office.revoker.handle(delivery)
    assert office.told(ASKED) == told != []


async def test_who_may_revoke_lists_what_a_campaign_may_be_made_of() -> None:
    office = await Office.with_certificates(3)
    ids = [each.request_id for each in office.entries]
    first: Any = (await office.revoker.ask(commands.ListCertificates(limit=2), by="alice")).result
    assert ([each.request_id for each in first.certificates], first.next) == (ids[:2], ids[1])
    rest: Any = (await office.revoker.ask(commands.ListCertificates(after=first.next), by="alice")).result
    assert ([each.request_id for each in rest.certificates], rest.next) == (ids[2:], None)
    assert await office.revoker.refused(commands.ListCertificates(), by="shop") == ["identity.not-permitted"]
    for nothing in (
        commands.ListCertificates(issuer="CN=Nobody"),
        commands.ListCertificates(key=digest_of(b"another")),
        commands.ListCertificates(requester="portal"),
        commands.ListCertificates(serial_numbers=("0",)),
        commands.ListCertificates(issued_before=world.NOW - timedelta(days=1)),
        commands.ListCertificates(issued_after=world.NOW + timedelta(days=1)),
    ):
        assert (await office.revoker.ask(nothing, by="alice")).result.certificates == ()  # type: ignore[union-attr]  # it has them


async def test_a_stranger_learns_nothing_of_a_campaign() -> None:
    office = await Office.with_certificates(1)
    await office.revoker.ask(office.command(), by="alice")
    show = commands.ShowCampaign(campaign=office.campaign().digest)
    assert await office.revoker.refused(show, by="shop") == ["campaign.unknown"]


def test_a_campaign_is_cut_into_parts_of_known_sizes() -> None:
    entries = [CampaignEntry(request_id=new_request_id(), certificate=digest_of(b"a")) for _ in range(250)]
    campaign = Office().campaign(entries, cap=250)
    assert [len(part) for part in parts_of(entries)] == [campaign.size(number) for number in range(3)]
    assert campaign.size(2) == 250 - 2 * MOST_OF_A_PART


async def test_what_two_clients_sign_serves() -> None:
    office = await Office.with_certificates(1)
    campaign = office.campaign()
    signatures = []
    for name in ("alice", "ben"):
        broker = BrokerProfile(host="h", port=1, virtual_host="v", password_file=Path("p"))
        profile = Profile(identity=IdentityName(name), broker=broker)
        client = RaClient(profile, signer=signing_key(name), clock=office.revoker.clock)
        signatures.append(client.sign_campaign(campaign))
    answer: Any = (await office.revoker.ask(office.command(campaign, signatures), by="ben")).result
    assert answer.accepted == 1
