"""Requests made to hurt intake, on a running system."""

from bench.duty import besiege
from bench.hostile import VARIANTS, hostile_requests
from deploy.local.stack import Stack


async def test_hostile_requests_are_refused_before_the_lint_and_intake_goes_on_answering_its_probes(
    stack: Stack,
) -> None:
    one_of_each_kind = [text for _, text in hostile_requests()][::VARIANTS]
    figures = await besiege(stack, one_of_each_kind)
    assert [figure for figure in figures if not figure.holds] == []
