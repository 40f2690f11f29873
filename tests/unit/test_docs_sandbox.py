"""The page about the sandbox names everything that can be set there, and nothing else."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.endpoints import ENDPOINTS
from tests.sandbox.knobs import FaultKind, Knobs, Mutation
from tests.sandbox.listing import Listing
from tests.sandbox.lists import ORDERS, REQUESTS
from tests.sandbox.roles import Role

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sandbox.md").read_text()


def first_column(heading: str) -> set[str]:
    """The names in backticks in the first column of the first table below a heading."""
    section = PAGE[PAGE.index(f"## {heading}") :]
    table = section[section.index("|---") : section.index("\n\n", section.index("|---"))]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| ")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def listed_after(words: str) -> set[str]:
    """The names in backticks between these words and the end of the sentence."""
    start = PAGE.index(words) + len(words)
    return set(re.findall(r"`([^`]+)`", PAGE[start : PAGE.index(".\n", start)]))


def test_every_knob_is_on_the_page() -> None:
    assert first_column("Knobs") == set(Knobs.model_fields)


def test_every_kind_of_fault_is_on_the_page() -> None:
    assert first_column("Faults") == set(FaultKind)


def test_every_role_is_on_the_page() -> None:
    assert first_column("API keys") == set(Role)


def test_every_mutation_and_every_endpoint_is_on_the_page() -> None:
    assert listed_after("`mutate` takes any of") == set(Mutation)
    assert listed_after("Endpoints:") == set(ENDPOINTS)


@pytest.mark.parametrize(("name", "listing"), [("orders", ORDERS), ("requests", REQUESTS)])
def test_every_filter_and_every_sort_of_a_list_is_on_the_page(name: str, listing: Listing[Any]) -> None:
    (row,) = [row for row in PAGE.splitlines() if row.startswith(f"| {name} |")]
    _, _, filters, sorts, _ = row.split("|")
    assert set(re.findall(r"`([^`]+)`", filters)) == set(listing.filters)
    assert set(re.findall(r"`([^`]+)`", sorts)) == set(listing.sorts)


def test_a_knob_is_a_guess_on_the_page_where_the_code_says_so() -> None:
    source = (Path(__file__).resolve().parents[1] / "sandbox" / "knobs.py").read_text()
    said = re.findall(r'^    (\w+): [^\n]+\n    """([^"]+)"""', source[source.index("class Knobs") :], re.MULTILINE)
    rows = [row for row in PAGE.splitlines() if row.startswith("| `")]
    for name, text in said:
        (row,) = [row for row in rows if f"`{name}`" in row.split("|")[1]]
        assert ("*guess*" in row) >= ("guess" in text.lower()), name
