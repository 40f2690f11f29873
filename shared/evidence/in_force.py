"""The policy in force in a process, with the anchor that follows from it."""

from shared.evidence.anchor import Anchor
from shared.policy.policy import Policy


class PolicyInForce:
    """Holds the policy that handlers decide by; it changes as a whole or not at all."""

    def __init__(self, policy: Policy) -> None:
        self.replace(policy)

    def replace(self, policy: Policy) -> None:
        """Decide by this policy from now on."""
        self.policy, self.anchor = policy, Anchor.of(policy)
