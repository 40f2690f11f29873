"""One process of a duty, as seen from outside: start, stop, readiness, metrics and log."""

from dataclasses import dataclass
from pathlib import Path

import httpx

from deploy.local.ports import LOOPBACK
from deploy.local.process import Program, wait_until
from shared.vocabulary.duties import Duty

_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0
_HTTP_SECONDS = 5.0


@dataclass(frozen=True)
class DutyProcess:
    """A process of a duty, running or not."""

    duty: Duty
    name: str
    """The duty's own, or with a number behind it when there are several."""
    port: int
    program: Program

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self.program.process is not None

    @property
    def ready_url(self) -> str:
        """Where it says whether it can work."""
        return f"http://{LOOPBACK}:{self.port}/readyz"

    @property
    def metrics_url(self) -> str:
        """Where Prometheus reads."""
        return f"http://{LOOPBACK}:{self.port}/metrics"

    @property
    def log_file(self) -> Path:
        """What it says."""
        return self.program.log_file

    def start(self) -> None:
        """Starts it; it is not ready yet."""
        self.program.start()

    def stop(self) -> None:
        """Stops it in order."""
        self.program.stop(limit=_STOP_SECONDS)

    def kill(self) -> None:
        """Kills it, as a power cut would."""
        self.program.kill()

    def pause(self) -> None:
        """Lets it stand still."""
        self.program.pause()

    def resume(self) -> None:
        """Lets it go on."""
        self.program.resume()

    def is_ready(self) -> bool:
        """Whether it says at this moment that it can work."""
        try:
            return httpx.get(self.ready_url, timeout=_HTTP_SECONDS, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def await_ready(self, limit: float = _READY_SECONDS) -> None:
        """Returns when it is ready.

        Raises:
            LocalStackError: it ended or took too long; with the end of its log.
        """
        what = f"{self.name} is not ready, says {self.ready_url}"
        wait_until(self.is_ready, what=what, limit=limit, program=self.program)

    def await_unready(self, limit: float = _READY_SECONDS) -> None:
        """Returns when it is not ready, or has ended."""
        what = f"{self.name} is still ready, says {self.ready_url}"
        wait_until(lambda: not self.is_ready(), what=what, limit=limit, log=self.log_file)

    def metrics(self) -> str:
        """Its metrics, in Prometheus' text format."""
        return httpx.get(self.metrics_url, timeout=_HTTP_SECONDS, trust_env=False).raise_for_status().text

    def log(self) -> str:
        """What it has said so far, over all its starts."""
        return self.log_file.read_text() if self.log_file.exists() else ""
