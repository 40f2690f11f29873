"""API keys and what each role may do with the API."""

import secrets
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    ADMIN = "admin"
    """An administrator's unrestricted key."""
    ORDERS = "orders"
    """DigiCert's role 100 on a manager's key: orders and revokes; its revocations need approval."""
    REQUESTS = "requests"
    """A limited user's key: its orders and revocations wait for somebody else's approval."""
    VIEW_ONLY = "view-only"
    """DigiCert's role 102: GET and nothing else."""
    REVOKE_ONLY = "revoke-only"
    """An administrator's key confined to revocation, so that revoking does not wait for anyone. DigiCert has no such
    restriction of a key; it stands for what the revoker's key is meant to be used for."""


class Power(StrEnum):
    READ = "read"
    ORDER = "order"
    REVOKE = "revoke"
    SKIP_REVOCATION_APPROVAL = "skip-revocation-approval"
    APPROVE_ORDER = "approve-order"
    APPROVE_REVOCATION = "approve-revocation"


POWERS = {
    Role.ADMIN: frozenset(Power),
    Role.ORDERS: frozenset({Power.READ, Power.ORDER, Power.REVOKE, Power.APPROVE_ORDER}),
    Role.REQUESTS: frozenset({Power.READ, Power.ORDER, Power.REVOKE}),
    Role.VIEW_ONLY: frozenset({Power.READ}),
    Role.REVOKE_ONLY: frozenset({Power.READ, Power.REVOKE, Power.SKIP_REVOCATION_APPROVAL, Power.APPROVE_REVOCATION}),
}


@dataclass(frozen=True, slots=True)
class ApiKey:
    name: str
    role: Role
    value: str

    def may(self, power: Power) -> bool:
        return power in POWERS[self.role]


def generated_keys() -> tuple[ApiKey, ...]:
    """One fresh key for each role, named after it."""
    return tuple(ApiKey(role.value, role, secrets.token_hex(24)) for role in Role)


def parse_key(text: str) -> ApiKey:
    """`NAME:ROLE:VALUE` as a key.

    Raises:
        ValueError: it has another form, or the role is not known.
    """
    name, role, value = text.split(":", 2)
    return ApiKey(name, Role(role), value)
