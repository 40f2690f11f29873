"""What people sign of a campaign."""

from datetime import datetime

from shared.contracts.campaigns import Campaign
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.jws import Typ, Verified, payload_of, verify
from shared.vocabulary.findings import finding
from shared.vocabulary.model import Model
from shared.vocabulary.names import DigestField, IdentityField
from shared.vocabulary.reasons import RevocationReason


class CampaignSignature(Model):
    """A person's word that exactly these certificates are to be revoked, and how many that may be."""

    campaign: DigestField
    reason: RevocationReason
    count: int
    cap: int
    signer: IdentityField

    @classmethod
    def on(cls, campaign: Campaign, signer: str) -> "CampaignSignature":
        """What this identity signs of it."""
        return cls.model_validate(
            {
                "campaign": campaign.digest,
                "reason": campaign.reason,
                "count": campaign.count,
                "cap": campaign.cap,
                "signer": signer,
            }
        )


def read_campaign_signature(
    token: str, campaign: Campaign, anchor: Anchor, *, now: datetime
) -> tuple[CampaignSignature, Verified]:
    """A good signature on exactly this campaign, by a key of the identity it names.

    Raises:
        RefusedError: `evidence.*`, or `campaign.signature-differs`.
    """
    claimed = CampaignSignature.read(payload_of(token), code="evidence.campaign-invalid")
    verified = verify(token, Typ.CAMPAIGN, anchor.keys_of(claimed.signer), now=now)
    if claimed != CampaignSignature.on(campaign, claimed.signer):
        text = "this was signed for another list, reason or cap: have this one signed"
        raise RefusedError(finding("campaign.signature-differs", text, value=claimed.signer))
    return claimed, verified
