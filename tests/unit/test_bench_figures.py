"""Figures and their limits, and the requests that the bench of hostile ones sends."""

import json

import pytest

from bench.figures import Figure, as_json, as_table
from bench.hostile import KINDS, VARIANTS, hostile_requests
from shared.contracts import commands
from shared.x509.csr import MAX_CSR_TEXT
from tests import world
from tests.fakes.duties import Intake

HOSTILE = list(hostile_requests())


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (Figure("a", 9.9, "ms"), "holds"),
        (Figure("a", 1.5, "", at_most=1.5), "holds"),
        (Figure("a", 1.51, "", at_most=1.5), "missed"),
        (Figure("a", 1, "", at_least=1), "holds"),
        (Figure("a", 0, "", at_least=1), "missed"),
    ],
)
def test_a_figure_holds_within_its_limits_and_without_any(figure: Figure, verdict: str) -> None:
    assert figure.holds is (verdict == "holds")
    assert ("MISSED" in as_table([figure])) is (verdict == "missed")
    assert json.loads(as_json([figure]))["figures"][0]["holds"] is (verdict == "holds")


def test_there_are_two_hundred_hostile_requests_and_each_is_a_text_that_may_be_submitted() -> None:
    assert len(HOSTILE) == len(dict(HOSTILE)) == len(KINDS) * VARIANTS == 200
    assert all(0 < len(text) <= MAX_CSR_TEXT for _, text in HOSTILE)


async def test_each_is_refused_before_the_lint_and_they_come_to_grief_at_many_different_places() -> None:
    duty, codes = Intake(), set()
    for _, text in HOSTILE:
        asked = world.content(csr=text)
        codes.update(await duty.refused(commands.SubmitRequest(submission=world.submission(asked)), by="shop"))
    assert duty.linter.asked == []
    assert codes >= {
        "csr.too-large",
        "csr.unreadable",
        "csr.key-unsupported",
        "csr.signature-invalid",
        "csr.extensions-unreadable",
        "csr.too-many-names",
        "dn.value-fixed",
        "name.dns-outside",
        "name.kind-not-allowed",
    }
