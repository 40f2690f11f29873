"""The pictures of the full-screen desk can be taken again, in both sizes, and fetch nothing when they are looked at."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from deploy.docs.pictures import FOLDER, take

PICTURES = {f"{name}-{size}.svg" for name in ("desk", "sign") for size in ("80x24", "120x40")}


def _check(folder: Path) -> None:
    pictures = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(pictures) == PICTURES
    for name, picture in pictures.items():
        words = "".join(ET.fromstring(picture).itertext()).replace("\xa0", " ")  # noqa: S314 - made by ourselves
        assert ("Sign that I approve this" if name.startswith("sign") else "mail relay") in words
        lines = set(re.findall(r'id="terminal-\d+-line-(\d+)"', picture))
        assert len(lines) == int(re.findall(r"\d+", name)[1]) - 1
        assert not re.search(r"url\((?!#)|href=|src=", picture)


async def test_the_pictures_are_taken_in_both_sizes(tmp_path: Path) -> None:
    await take(tmp_path)
    _check(tmp_path)


def test_the_pictures_of_the_documentation_are_such() -> None:
    _check(FOLDER)
