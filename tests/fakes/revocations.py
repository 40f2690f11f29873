"""A certificate that the revoker knows of, and what is asked about it."""

from dataclasses import dataclass
from typing import Any

from services.revoker.model import Certificate
from shared.contracts import commands
from shared.messaging.messages import Outgoing
from shared.vocabulary.names import RequestId
from shared.vocabulary.reasons import RevocationReason
from tests.fakes.duties import Revoker, lifecycle
from tests.fakes.lives import Life, begin


@dataclass
class Issued:
    """A certificate that the revoker knows of."""

    revoker: Revoker
    life: Life

    @property
    def id(self) -> RequestId:
        return self.life.begun.revision.request_id

    def revocation(self, reason: RevocationReason = RevocationReason.SUPERSEDED) -> commands.RevokeCertificate:
        return commands.RevokeCertificate(request_id=self.id, reason=reason, notes="old")

    async def stored(self) -> Certificate:
        certificate = await self.revoker.certificates.load(self.id)
        assert certificate is not None
        return certificate

    def happened(self) -> list[Outgoing]:
        """The lifecycle events, each once, in their order."""
        return list({message.id: message for message in lifecycle(self.revoker.publisher.published)}.values())

    async def revoke(self, by: str = "shop") -> Any:
        return (await self.revoker.ask(self.revocation(), by=by)).result


async def issued(life: Life | None = None, *, revoker: Revoker | None = None) -> Issued:
    case = Issued(revoker or Revoker(), life or begin().approved().issued())
    await case.revoker.handle(case.life.told[-1])
    return case
