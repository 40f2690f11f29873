"""An approver edits with `ra`, two others approve, and the certificate is the edited one, as the evidence shows."""

import asyncio
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner, Result

from deploy.local.stack import Stack
from services.desk.__main__ import app
from services.desk.exits import Exit
from shared.client.errors import CommandRefusedError
from shared.evidence.anchor import Anchor
from shared.vocabulary.states import State
from tests import world
from tests.system.way import approve, eventually, people_of, reach, submitted


async def ra(stack: Stack, identity: str, *arguments: str) -> Result:
    profile = str(stack.profile_file(identity))
    return await asyncio.to_thread(CliRunner().invoke, app, [*arguments, "--profile", profile, "--timeout", "60"])


async def test_what_one_edited_and_two_others_approved_is_what_is_issued(stack: Stack, tmp_path: Path) -> None:
    async with people_of(stack) as people:
        request_id = await submitted(people, world.content(csr=world.make_csr("www.example.com")))
        await approve(people, request_id, "alice")
        options = ("--add-san", "dns:shop.example.com", "--name", "both front doors")
        edited = await ra(stack, "carol", "desk", "edit", request_id, *options, "--yes")
        assert edited.exit_code == Exit.OK, edited.output

        async def told() -> bool:
            return (await people.shop.status(request_id)).request.name == "both front doors"

        await eventually(told, "the requester is not told of the edit")
        history = (await people.shop.status(request_id)).history
        assert "edited by carol" in history[-1].message
        assert {"name", "alternative names"} <= {change.what for change in history[-1].differences}

        with pytest.raises(CommandRefusedError) as refused:
            await approve(people, request_id, "carol")
        assert [found.code for found in refused.value.findings] == ["decision.by-editor"]
        shown = await ra(stack, "alice", "desk", "show", request_id)
        assert "Last edited by: carol (verified" in shown.output
        await approve(people, request_id, "alice", "ben")
        await reach(people, request_id, State.ISSUED)
        delivered = await people.shop.download(request_id)

    leaf = x509.load_pem_x509_certificates(delivered.content)[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"www.example.com", "shop.example.com"}
    evidence, anchor = tmp_path / "evidence.json", tmp_path / "anchor.json"
    anchor.write_bytes(Anchor.of(stack.policy).canonical())
    exported = await ra(stack, "shop", "audit", "export", request_id, "-o", str(evidence))
    assert exported.exit_code == Exit.OK, exported.output
    verified = await ra(stack, "shop", "audit", "verify", str(evidence), "--anchor", str(anchor))
    assert verified.exit_code == Exit.OK, verified.output
    assert "carol edited it, and approval accepted that as revision 2" in verified.output
