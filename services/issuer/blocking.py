"""Keys that were reported as compromised: the revoker says so, and nothing is ordered with them from then on."""

from dataclasses import dataclass

import structlog

from services.issuer.model import BlockedKey
from services.issuer.ports import BlockedKeyStore
from shared.clock import Clock
from shared.contracts import events
from shared.evidence.in_force import PolicyInForce
from shared.evidence.revocations import read_key_block
from shared.messaging.messages import NOTHING, Outcome, Received
from shared.vocabulary.findings import Finding, finding
from shared.vocabulary.names import Digest

log = structlog.get_logger()


@dataclass(frozen=True)
class KeyBlockedHandler:
    """Remembers a compromised key, for ever."""

    keys: BlockedKeyStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[events.KeyBlocked]) -> Outcome:
        """Handle the event."""
        block = read_key_block(message.data.block, self.in_force.anchor, now=self.clock.now())
        if await self.keys.insert(BlockedKey(id=block.key, request_id=block.request_id)):
            log.warning("key blocked", key=block.key, request=block.request_id)
        return NOTHING


def key_compromised(key: Digest) -> Finding:
    """Why nothing is ordered with this key."""
    text = "the key was reported as compromised after the request was accepted; make a new key"
    return finding("key.compromised", text, value=key)
