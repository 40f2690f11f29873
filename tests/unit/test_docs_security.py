"""The tests that the page on security names are there."""

import re
from pathlib import Path

from deploy.local.promises import Promise, check_commands

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "security.md"


def test_every_test_that_the_page_on_security_names_is_there() -> None:
    found, file = [], ""
    for path, name in re.findall(r"`(…(?=::)|[a-z]+/test_[a-z0-9_]+\.py)((?:::test_[a-z0-9_]+)?)`", PAGE.read_text()):
        file = file if path == "…" else path
        found.append(f"tests/{file}{name}")
    assert len(found) > 15
    check_commands([Promise("security", "It is there.", ("pytest", *found))], ROOT)
