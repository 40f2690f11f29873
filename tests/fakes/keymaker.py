"""Key pairs and PKCS#12 files made in this process, by the very functions that the workers run."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.issuer.making.jobs import Answer, MakeJob, PackJob
from services.issuer.making.ports import Made
from services.issuer.making.workshop import answer
from shared.errors import RefusedError
from shared.password import Password
from shared.x509.encryption import Pkcs12Encryption
from shared.x509.extensions import CertificateExtension
from shared.x509.names import DistinguishedName, SubjectAltNames
from tests.fakes.faults import Steps


@dataclass
class MemoryKeyMaker:
    """Counts what it makes; each job is a step before and after which a process may die."""

    steps: Steps
    made: list[Made] = field(default_factory=list)
    packed: list[bytes] = field(default_factory=list)

    async def make(
        self,
        password: Password,
        key_type: str,
        subject: DistinguishedName,
        names: SubjectAltNames,
        extensions: Sequence[CertificateExtension],
    ) -> Made:
        self.steps.step("before making a key")
        job = MakeJob(
            password=password.reveal(), key_type=key_type, subject=subject, names=names, extensions=tuple(extensions)
        )
        made = _done(job).made
        assert made is not None
        self.made.append(made)
        self.steps.step("after making a key")
        return made

    async def pack(
        self,
        pkcs8: bytes,
        password: Password,
        leaf: bytes,
        chain: Sequence[bytes],
        *,
        friendly_name: str,
        encryption: Pkcs12Encryption,
    ) -> bytes:
        self.steps.step("before packing")
        job = PackJob(
            password=password.reveal(),
            pkcs8=pkcs8,
            leaf=leaf,
            chain=tuple(chain),
            friendly_name=friendly_name,
            encryption=encryption,
        )
        packed = _done(job).packed
        assert packed is not None
        self.packed.append(packed)
        self.steps.step("after packing")
        return packed


def _done(job: MakeJob | PackJob) -> Answer:
    said = Answer.model_validate_json(answer(job.model_dump_json().encode()))
    if said.findings:
        raise RefusedError.of(said.findings)
    assert said.bug is None
    return said
