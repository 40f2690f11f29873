"""The revoker's decisions on campaigns: pure, no await, no clock, no I/O."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from services.revoker.model import Certificate
from shared.contracts.campaigns import Campaign, digest_of_part
from shared.contracts.commands import RevokeCampaign
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.campaigns import read_campaign_signature
from shared.policy.policy import Policy
from shared.vocabulary.findings import finding
from shared.vocabulary.names import IdentityName, RequestId
from shared.vocabulary.permissions import Permission

SIGNATURE_SERVES = timedelta(days=7)
"""How long after it was signed a campaign may be begun, or gone on with."""


def signers_of(
    command: RevokeCampaign, *, sender: IdentityName, policy: Policy, anchor: Anchor, now: datetime
) -> tuple[IdentityName, ...]:
    """The two who signed this campaign: two people, the sender one of them, who may have all of it revoked today.

    Raises:
        RefusedError: `evidence.*`, `campaign.signature-differs`, `.signature-old`, `.over-cap`, `.same-person`,
            `.not-signer` or `.not-permitted`.
    """
    campaign = command.campaign
    if campaign.count > campaign.cap:
        text = f"there are more certificates than the cap of {campaign.cap}"
        raise RefusedError(finding("campaign.over-cap", text, value=campaign.count))
    signers = []
    for statement in command.signatures:
        said, verified = read_campaign_signature(statement.jws, campaign, anchor, now=now)
        if now - verified.signed_at > SIGNATURE_SERVES:
            text = f"this was signed more than {SIGNATURE_SERVES.days} days ago: have a new one signed"
            raise RefusedError(finding("campaign.signature-old", text, value=said.signer))
        signers.append(said.signer)
    people = {policy.person_of(name) for name in signers}
    if None in people or len(people) != len(signers):
        text = "two different people have to sign a campaign, each with an identity of their own"
        raise RefusedError(finding("campaign.same-person", text, value=", ".join(signers)))
    if sender not in signers:
        text = "only one of the two who signed a campaign can have it carried out"
        raise RefusedError(finding("campaign.not-signer", text, value=sender))
    for name in signers:
        _check_permission(campaign, name, policy)
    return tuple(signers)


def _check_permission(campaign: Campaign, name: IdentityName, policy: Policy) -> None:
    missing = sorted(set(campaign.groups) - set(policy.groups_of(name, Permission.REVOKE)))
    if missing:
        text = f"{name} may not have certificates of {', '.join(missing)} revoked"
        raise RefusedError(finding("campaign.not-permitted", text, value=name))


def check_part(command: RevokeCampaign, found: Mapping[RequestId, Certificate]) -> None:
    """See that these are the certificates that were signed for, each of a group that was signed for.

    Raises:
        RefusedError: `campaign.part-differs` or `campaign.certificate-differs`.
    """
    campaign, part = command.campaign, command.part
    if (
        part >= len(campaign.parts)
        or len(command.certificates) != campaign.size(part)
        or digest_of_part(command.certificates) != campaign.parts[part]
    ):
        raise RefusedError(finding("campaign.part-differs", "this part is not what was signed", value=part))
    for entry in command.certificates:
        known = found.get(entry.request_id)
        if known is None or known.digest != entry.certificate or known.approval_group not in campaign.groups:
            text = "this is not the request's certificate, or not of a group that was signed for: make the list again"
            raise RefusedError(finding("campaign.certificate-differs", text, value=entry.request_id))
