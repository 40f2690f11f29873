"""Keys made in processes of their own, which may be slow or die without harm to the issuer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.issuer.making.jobs import Answer, MakeJob, PackJob
from services.issuer.making.ports import Made
from shared.errors import RefusedError, UnavailableError
from shared.password import Password
from shared.process.near import BreakdownError, Helper, Patience
from shared.x509.encryption import Pkcs12Encryption
from shared.x509.extensions import CertificateExtension
from shared.x509.names import DistinguishedName, SubjectAltNames

log = structlog.get_logger()

NAME = "key maker"
_PROGRAM = ("-m", "services.issuer.making")


@dataclass(frozen=True)
class Limits:
    """What the processes may take."""

    processes: int = 1
    seconds: float = 60.0
    """For one job: an RSA-4096 key on a slow and busy machine takes the longest, with some ten."""
    start_seconds: float = 15.0
    """For a process to be ready."""
    turn_seconds: float = 60.0
    """For those that wait before it."""
    waiting: int = 16
    """How many jobs may wait before each process."""


class KeyWorkers:
    """Makes and packs keys in processes that start when they are first needed; see `ports.KeyMaker`.

    A job goes to the process with the least to do. The password and the key go through the pipe and nowhere else: no
    argument, no environment, no log and no file, and the processes can't be dumped. They run at a low priority.
    """

    def __init__(self, limits: Limits | None = None, *, program: Sequence[str] = _PROGRAM) -> None:
        """`program` is what Python runs, with the limit in seconds as a further argument."""
        limits = limits or Limits()
        patience = Patience(limits.seconds, limits.start_seconds, limits.turn_seconds, limits.waiting)
        self._helpers = [Helper(NAME, program, patience, silent=True) for _ in range(limits.processes)]

    @property
    def process_ids(self) -> list[int]:
        """The numbers of the processes that run."""
        return [process.pid for helper in self._helpers if (process := helper.process) is not None]

    async def make(
        self,
        password: Password,
        key_type: str,
        subject: DistinguishedName,
        names: SubjectAltNames,
        extensions: Sequence[CertificateExtension],
    ) -> Made:
        """See `ports.KeyMaker.make`."""
        job = MakeJob(
            password=password.reveal(), key_type=key_type, subject=subject, names=names, extensions=tuple(extensions)
        )
        made = (await self._done(job)).made
        if made is None:
            raise RuntimeError(f"the {NAME} did another job than it was asked to")
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
        """See `ports.KeyMaker.pack`."""
        job = PackJob(
            password=password.reveal(),
            pkcs8=pkcs8,
            leaf=leaf,
            chain=tuple(chain),
            friendly_name=friendly_name,
            encryption=encryption,
        )
        packed = (await self._done(job)).packed
        if packed is None:
            raise RuntimeError(f"the {NAME} did another job than it was asked to")
        return packed

    async def probe(self) -> None:
        """Return once all processes are ready.

        Raises:
            UnavailableError: one does not start.
        """
        await asyncio.gather(*(helper.probe() for helper in self._helpers))

    async def warm_up(self) -> None:
        """Have the processes ready before the first job; if they are not to be had, that is seen to later."""
        await asyncio.gather(*(helper.warm_up() for helper in self._helpers))

    async def aclose(self) -> None:
        """End the processes; who still waits for one is told that it is not available."""
        await asyncio.gather(*(helper.aclose() for helper in self._helpers))

    async def _done(self, job: MakeJob | PackJob) -> Answer:
        helper = min(self._helpers, key=lambda helper: helper.load)
        try:
            said = await helper.ask(job.model_dump_json().encode())
        except BreakdownError as broken:
            log.warning("key maker broke down", reason=str(broken), job=job.job)
            raise UnavailableError(NAME, str(broken)) from None
        answer = Answer.model_validate_json(said)
        if answer.findings:
            raise RefusedError.of(answer.findings)
        if answer.bug is not None:
            raise RuntimeError(f"the {NAME} failed with {answer.bug}")
        return answer
