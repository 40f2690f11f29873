"""`ra`, as a program of its own, before duties in its own memory: for those who look at it in a real terminal."""

import asyncio

from services.desk.__main__ import main
from services.desk.frame import Desk
from shared.client.client import RaClient
from shared.client.ports import Signer
from tests import world
from tests.fakes.office import MemoryOffice

NAME = "front door"


def client(self: Desk, signer: Signer | None) -> RaClient:  # noqa: ARG001 - as the method that it stands for
    office = MemoryOffice()
    asyncio.run(office.submit(world.content(name=NAME)))
    return office.client("alice", signer)


if __name__ == "__main__":
    Desk.client = client  # type: ignore[method-assign]  # nothing else of it is another
    main()
