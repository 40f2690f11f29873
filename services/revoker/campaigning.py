"""Campaigns: many certificates revoked together, each once, on the word of two people."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.revoker import campaigns, rules
from services.revoker.accepting import Accepting
from services.revoker.confirming import SEES
from services.revoker.model import CampaignRecord, Certificate
from services.revoker.ports import CertificateStore
from shared.contracts import commands, replies
from shared.contracts.campaigns import CampaignEntry
from shared.errors import RefusedError
from shared.messaging.aggregate import Store
from shared.messaging.messages import Outcome, Outgoing, Received, reply_ok
from shared.vocabulary.findings import finding
from shared.vocabulary.names import IdentityName, RequestId
from shared.vocabulary.permissions import Permission
from shared.vocabulary.revocations import CertificateState


@dataclass(frozen=True)
class RevokeCampaignHandler:
    """Accepts the revocations of one part; the scheduler carries them out, as any others.

    Each certificate is one write, which holds what follows from it: a part handled again goes on where it ended.
    """

    certificates: CertificateStore
    campaigns: Store[CampaignRecord]
    accepting: Accepting
    offer: Callable[[Certificate], None]

    async def __call__(self, message: Received[commands.RevokeCampaign]) -> Outcome:
        """Handle the command."""
        ask = message.data
        found = {each.id: each for each in await self.certificates.these([one.request_id for one in ask.certificates])}
        try:
            await self._check(message, found)
        except RefusedError:
            stored = [outcome for each in found.values() if (outcome := each.outcome_of(message.id)) is not None]
            if not stored:
                raise
            return Outcome(publish=tuple(told for outcome in stored for told in outcome.publish))
        publish: list[Outgoing] = []
        left_out: list[replies.LeftOut] = []
        for entry in ask.certificates:
            try:
                publish += await self._accept(message, entry, found[entry.request_id])
            except RefusedError as refused:
                left_out.append(replies.LeftOut(request_id=entry.request_id, findings=tuple(refused.findings)))
        result = replies.CampaignPartResult(
            campaign=ask.campaign.digest,
            part=ask.part,
            accepted=len(ask.certificates) - len(left_out),
            left_out=tuple(left_out),
        )
        text = f"{result.accepted} revocations are accepted."
        return Outcome(publish=(*publish, reply_ok(message, result, text, at=self.accepting.clock.now())))

    async def _check(self, message: Received[commands.RevokeCampaign], found: Mapping[RequestId, Certificate]) -> None:
        """See that two people want this, and keep what shows it, before anything is revoked."""
        ask, now, in_force = message.data, self.accepting.clock.now(), self.accepting.in_force
        signers = campaigns.signers_of(
            ask, sender=message.sender, policy=in_force.policy, anchor=in_force.anchor, now=now
        )
        campaigns.check_part(ask, found)
        record = CampaignRecord(
            id=ask.campaign.digest,
            campaign=ask.campaign,
            signatures=ask.signatures,
            signers=signers,
            by=message.sender,
            at=now,
        )
        await self.campaigns.insert(record)

    async def _accept(
        self, message: Received[commands.RevokeCampaign], entry: CampaignEntry, known: Certificate
    ) -> tuple[Outgoing, ...]:
        """What follows from having this one revoked; nothing if the campaign did that before."""
        stored = known.outcome_of(message.id)
        if stored is not None:
            return stored.publish
        campaign = message.data.campaign
        if campaign.digest in known.campaigns:
            return ()
        policy, now = self.accepting.in_force.policy, self.accepting.clock.now()
        single = commands.RevokeCertificate(request_id=entry.request_id, reason=campaign.reason, notes=campaign.notes)
        changed = rules.revoke(known, single, message=message.id, sender=message.sender, policy=policy, now=now)
        publish: tuple[Outgoing, ...] = ()
        marked: dict[str, object] = {"campaigns": (*changed.campaigns, campaign.digest)}
        if changed is not known:
            publish = tuple(self.accepting.told(changed, origin=f"{message.id}/{known.id}"))
            asked = changed.asked.model_copy(update={"campaign": campaign.digest})
            marked["revocation"] = asked
        written = await self.certificates.replace(changed.model_copy(update=marked).followed_by(message.id, *publish))
        if written.state is CertificateState.REVOKING:
            self.offer(written)
        return publish


@dataclass(frozen=True)
class ShowCampaignHandler:
    """Tells how far a campaign has come."""

    certificates: CertificateStore
    campaigns: Store[CampaignRecord]
    accepting: Accepting

    async def __call__(self, message: Received[commands.ShowCampaign]) -> Outcome:
        """Handle the question."""
        record = await self.campaigns.load(message.data.campaign)
        if record is None or not self._sees(record, message.sender):
            text = "there is no such campaign that you may see; before its first part is accepted, nobody knows it"
            raise RefusedError(finding("campaign.unknown", text))
        counts = await self.certificates.of_campaign(record.id)
        result = replies.CampaignResult(
            campaign=record.id,
            reason=record.campaign.reason,
            count=record.campaign.count,
            started_at=record.at,
            deadline=record.at + record.campaign.reason.time_allowed,
            requested=counts.get(CertificateState.REQUESTED, 0),
            revoking=counts.get(CertificateState.REVOKING, 0),
            revoked=counts.get(CertificateState.REVOKED, 0),
            failed=counts.get(CertificateState.LIVE, 0),
        )
        text = f"{result.revoked} of {result.count} are revoked."
        return Outcome(publish=(reply_ok(message, result, text, at=self.accepting.clock.now()),))

    def _sees(self, record: CampaignRecord, sender: IdentityName) -> bool:
        """Whether it is of one's own groups only."""
        return set(record.campaign.groups) <= set(self.accepting.in_force.policy.groups_of(sender, *SEES))


@dataclass(frozen=True)
class ListCertificatesHandler:
    """Lists what a campaign may be made of."""

    certificates: CertificateStore
    accepting: Accepting

    async def __call__(self, message: Received[commands.ListCertificates]) -> Outcome:
        """Handle the question."""
        ask, now = message.data, self.accepting.clock.now()
        groups = self.accepting.in_force.policy.groups_of(message.sender, Permission.REVOKE)
        if ask.approval_group is not None:
            groups = [group for group in groups if group == ask.approval_group]
        if not groups:
            text = "you may not have certificates of any such group revoked"
            raise RefusedError(finding("identity.not-permitted", text))
        found = await self.certificates.live(groups, ask, limit=ask.limit + 1)
        page = found[: ask.limit]
        result = replies.CertificatesResult(
            certificates=tuple(_live(each) for each in page if each.not_after >= now),
            next=page[-1].id if len(found) > ask.limit else None,
        )
        return Outcome(publish=(reply_ok(message, result, f"{len(result.certificates)} certificates.", at=now),))


def _live(certificate: Certificate) -> replies.LiveCertificate:
    return replies.LiveCertificate(
        request_id=certificate.id,
        certificate=certificate.digest,
        serial_number=certificate.serial_number,
        issuer=certificate.issuer,
        approval_group=certificate.approval_group,
        requesters=certificate.requesters,
        not_after=certificate.not_after,
    )
