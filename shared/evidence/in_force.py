"""The policy in force in a process, with the anchor that follows from it."""

import asyncio

from shared.evidence.anchor import Anchor
from shared.policy.policy import Policy


class PolicyInForce:
    """Holds the policy that handlers decide by; it changes as a whole or not at all."""

    def __init__(self, policy: Policy) -> None:
        self._replaced = asyncio.Event()
        self.replace(policy)

    def replace(self, policy: Policy) -> None:
        """Decide by this policy from now on."""
        self.policy, self.anchor = policy, Anchor.of(policy)
        replaced, self._replaced = self._replaced, asyncio.Event()
        replaced.set()

    async def changed(self) -> None:
        """Wait until another policy is in force."""
        await self._replaced.wait()
