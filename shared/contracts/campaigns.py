"""Campaigns: what is to be revoked together, in parts that fit into messages."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, StringConstraints

from shared.contracts.content import Notes
from shared.vocabulary.model import Model, canonical_json, digest_of
from shared.vocabulary.names import ApprovalGroupField, Digest, DigestField, MessageIdField, RequestIdField
from shared.vocabulary.reasons import RevocationReason

MOST_OF_A_PART = 100
"""Certificates that one command has revoked at most."""
MOST_OF_A_CAMPAIGN = 100_000


class CampaignEntry(Model):
    """One certificate: its request, and its own digest."""

    request_id: RequestIdField
    certificate: DigestField


class Campaign(Model):
    """What people sign: why, how many, of which groups, and the digest of each part of the list."""

    campaign_id: MessageIdField
    """Drawn at random: the same list revoked twice is two campaigns."""
    reason: RevocationReason
    notes: Annotated[Notes, StringConstraints(max_length=1_000)] = ""
    cap: Annotated[int, Field(ge=1, le=MOST_OF_A_CAMPAIGN)]
    """So many at most were meant to be revoked."""
    count: Annotated[int, Field(ge=1, le=MOST_OF_A_CAMPAIGN)]
    groups: Annotated[tuple[ApprovalGroupField, ...], Field(min_length=1, max_length=200)]
    """Of every certificate."""
    parts: Annotated[tuple[DigestField, ...], Field(min_length=1, max_length=MOST_OF_A_CAMPAIGN // MOST_OF_A_PART)]
    """Each but the last has `MOST_OF_A_PART` certificates."""

    @property
    def digest(self) -> Digest:
        """The name by which signatures and certificates refer to it."""
        return digest_of(self.canonical())

    def size(self, part: int) -> int:
        """How many certificates this part has."""
        return min(MOST_OF_A_PART, self.count - part * MOST_OF_A_PART)


def parts_of(entries: Sequence[CampaignEntry]) -> list[tuple[CampaignEntry, ...]]:
    """The list in parts."""
    return [tuple(entries[begin : begin + MOST_OF_A_PART]) for begin in range(0, len(entries), MOST_OF_A_PART)]


def digest_of_part(part: Sequence[CampaignEntry]) -> Digest:
    """By which a campaign names a part."""
    return digest_of(canonical_json([entry.model_dump(mode="json") for entry in part]))
