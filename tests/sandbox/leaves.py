"""What stands in a certificate, and what a faulty CA makes of it."""

from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.sandbox.catalogue import ORGANIZATION
from tests.sandbox.knobs import Mutation

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
EXTRA_DAYS = 30
BACKDATED_DAYS = 3650
INTRUDER = "intruder.example.net"


@dataclass(frozen=True, slots=True)
class Leaf:
    """What is to stand in a certificate."""

    common_name: str
    names: tuple[str, ...]
    public_key: PublicKey
    ca_cert_id: str
    not_before: date
    last_day: date
    signature_hash: str = "sha256"
    client_auth: bool = False
    organization_units: tuple[str, ...] = ()
    organization_name: str = ORGANIZATION.name
    mutations: frozenset[Mutation] = field(default_factory=frozenset)
    extra_seconds: int = 0
    """So long is it valid beyond its last day."""

    def mutated(self) -> "Leaf":
        """The leaf with the errors that were asked for."""
        public_key = self.public_key
        if Mutation.WRONG_KEY in self.mutations:
            public_key = ec.generate_private_key(ec.SECP256R1()).public_key()
        return replace(
            self,
            names=self._mutated_names(),
            public_key=public_key,
            not_before=self.not_before + self._shift({Mutation.BACKDATED: -BACKDATED_DAYS, Mutation.LATER_START: 1}),
            last_day=self.last_day + self._shift({Mutation.LONGER_VALIDITY: EXTRA_DAYS, Mutation.SHORTER_VALIDITY: -1}),
            extra_seconds=int(Mutation.LONGER_BY_A_SECOND in self.mutations),
            client_auth=self.client_auth or Mutation.ADDED_USAGE in self.mutations,
        )

    def _shift(self, days: dict[Mutation, int]) -> timedelta:
        return timedelta(days=sum(days[mutation] for mutation in self.mutations & days.keys()))

    def _mutated_names(self) -> tuple[str, ...]:
        names = self.names
        if Mutation.MISSING_NAME in self.mutations:
            names = names[:-1] or names
        if Mutation.ADDED_NAME in self.mutations:
            names = (*names, INTRUDER)
        if Mutation.ADD_WWW in self.mutations:
            names = (*names, f"www.{self.common_name}")
        if Mutation.ADD_BASE in self.mutations:
            names = (*names, *(name.removeprefix("*.") for name in self.names if name.startswith("*.")))
        return tuple(dict.fromkeys(names))
