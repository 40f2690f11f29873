"""`python -m deploy.docs.pictures`: takes the pictures of the full-screen desk that the documentation shows.

The desk in them is the real one, before the duties' real handlers in this process; keys and serial numbers are new
each time, so the pictures are taken again when the desk looks different, and not with every `make docs`.
"""

import asyncio
import logging
import re
from pathlib import Path

import structlog

from deploy.docs.codes import ROOT
from tests import world
from tests.fakes.office import MemoryOffice
from tests.fakes.terminal import OpenKey, Terminal, terminal

FOLDER = ROOT / "docs" / "pictures"
SIZES = ((80, 24), (120, 40))
REQUESTS = (
    ("shop front", ("www.example.com", "shop.example.com"), "Renewal of last year's, for the new load balancer."),
    ("mail relay", ("mail.example.com",), "Asked for by the mail team."),
    ("build server", ("ci.example.com",), ""),
    ("staff portal", ("portal.example.org",), "Replaces portal1 and portal2."),
)
_REMOTE_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


async def take(folder: Path) -> None:
    """Every picture, as SVG that fetches nothing from anywhere."""
    office = MemoryOffice()
    first, *_ = [await _submitted(office, *request) for request in REQUESTS]
    await office.decide(first, "ben")
    key = OpenKey(world.signing_key("alice"))
    for size in SIZES:
        async with terminal(office.client("alice", key), key, size=size) as desk:
            await desk.shows("staff portal")
            await desk.press("enter")
            await desk.shows("Mail to")
            _picture(desk, folder, "desk", size)
            await desk.press("a")
            await desk.shows("Approve?")
            _picture(desk, folder, "sign", size)


async def _submitted(office: MemoryOffice, name: str, names: tuple[str, ...], notes: str) -> str:
    asked = world.content(name=name, csr=world.make_csr(*names), notes=notes, emails=("web-team@example.com",))
    return await office.submit(asked)


def _picture(desk: Terminal, folder: Path, name: str, size: tuple[int, int]) -> None:
    columns, rows = size
    drawn = desk.app.export_screenshot(title=f"ra desk, {columns} by {rows}")
    (folder / f"{name}-{columns}x{rows}.svg").write_text(_REMOTE_FONT.sub("", drawn))


def main() -> None:
    """Take them all."""
    logging.disable()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    FOLDER.mkdir(exist_ok=True)
    asyncio.run(take(FOLDER))


if __name__ == "__main__":
    main()
