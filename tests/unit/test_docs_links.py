"""Every relative link in the documentation leads somewhere, and every page is reached from the README."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def _pages() -> list[Path]:
    """Every page of the source tree; what git ignores is none."""
    listing = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md")
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:  # an archive without its history
        return [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def _links(page: Path) -> Iterator[tuple[str, str]]:
    """Path and fragment of each relative link."""
    for target in LINK.findall(FENCED.sub("", page.read_text())):
        if not re.match(r"[a-z]+:", target):
            path, _, fragment = target.partition("#")
            yield path, fragment


def _anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, as they are made on GitHub."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", _pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for path, fragment in _links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{path} is not there"
        assert target.is_relative_to(ROOT), f"{path} leads out of the source tree"
        assert not fragment or fragment in _anchors(target), f"{path} has no heading #{fragment}"


def test_every_page_of_the_documentation_is_linked_from_the_readme_or_its_folder_is() -> None:
    linked = {(ROOT / path).resolve() for path, _ in _links(ROOT / "README.md") if path}
    pages = [page for page in _pages() if page.is_relative_to(ROOT / "docs")]
    assert [page for page in pages if not linked & {page, *page.parents}] == []


def test_the_documentation_is_found() -> None:
    assert ROOT / "README.md" in _pages()
    assert len(_pages()) > 10
