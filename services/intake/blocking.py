"""Keys that the revoker reports as compromised: nobody's request gets one from then on."""

from dataclasses import dataclass

import structlog

from services.intake import known_keys
from services.intake.ports import KeyStore
from shared.clock import Clock
from shared.contracts import events
from shared.errors import ConflictError
from shared.evidence.in_force import PolicyInForce
from shared.evidence.revocations import read_key_block
from shared.messaging.messages import NOTHING, Outcome, Received

log = structlog.get_logger()


@dataclass(frozen=True)
class KeyBlockedHandler:
    """Remembers a compromised key, for ever; a request that takes it at this moment is refused after all."""

    keys: KeyStore
    in_force: PolicyInForce
    clock: Clock

    async def __call__(self, message: Received[events.KeyBlocked]) -> Outcome:
        """Handle the event."""
        block = read_key_block(message.data.block, self.in_force.anchor, now=self.clock.now())
        known = await self.keys.load(block.key)
        if known is not None and known.compromised_by is not None:
            return NOTHING
        compromised = known_keys.blocked(known, block)
        if known is not None:
            await self.keys.replace(compromised)
        elif not await self.keys.insert(compromised):
            raise ConflictError(f"{block.key} was not known a moment ago")
        log.warning("key compromised", key=block.key, request=block.request_id, requests=compromised.requests)
        return NOTHING
