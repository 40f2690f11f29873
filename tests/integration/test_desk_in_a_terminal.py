"""`ra desk` in a real pseudo-terminal: what a person at 80 by 24 sees, with the keyboard alone."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest

from services.desk.keys import new_key_pem
from tests.fakes.desk_at_home import NAME

COLUMNS, ROWS = 80, 24
PATIENCE_SECONDS = 60.0
PROGRAM = "tests.fakes.desk_at_home"


class PseudoTerminal:
    """A program on a terminal of its own, and what stands on the screen."""

    def __init__(self, arguments: list[str]) -> None:
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self.screen)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.raw = b""
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": ""}
        self._theirs = theirs
        self.program = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        )

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def shows(self, *pieces: str) -> None:
        """Read until all of this is on the screen."""
        self._until(lambda: all(piece in self.words for piece in pieces), f"never shows {pieces}")

    def ends(self) -> int:
        """Read until the program has ended; its exit status."""
        self._until(lambda: self.program.poll() is not None, "never ends")
        return self.program.wait()

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.screen.display).split())

    @property
    def attributes(self) -> list[object]:
        """How the terminal is set now."""
        return termios.tcgetattr(self._theirs)

    def _until(self, holds: Callable[[], bool], otherwise: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > end:
                pytest.fail(f"{otherwise}:\n" + "\n".join(self.screen.display))
            if select.select([self._ours], [], [], 0.2)[0]:
                data = os.read(self._ours, 65_536)
                self.raw += data
                self._stream.feed(data)

    def close(self) -> None:
        if self.program.poll() is None:
            self.program.kill()
            self.program.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[PseudoTerminal]:
    key, profile = tmp_path / "alice.pem", tmp_path / "profile.toml"
    key.write_bytes(new_key_pem("secret words"))
    key.chmod(0o600)
    (tmp_path / "password").write_text("none is needed")
    profile.write_text(
        'identity = "alice"\n'
        '[broker]\nhost = "127.0.0.1"\nport = 1\nvirtual_host = "v"\npassword_file = "password"\n'
        '[signing]\nkey_file = "alice.pem"\n'
    )
    opened = PseudoTerminal([PROGRAM, "--profile", str(profile), "desk"])
    yield opened
    opened.close()


def test_the_desk_opens_shows_a_request_asks_and_leaves_the_terminal_as_it_was(desk: PseudoTerminal) -> None:
    desk.shows("alice | 1 waiting", f"0 of 2 web {NAME}", "key locked", "connected", "Basic Info", "q Quit")
    desk.press(b"\r")
    desk.shows(f"Name {NAME}", "Key ecdsa-p256")
    desk.press(b"a")
    desk.shows("Approve? Request", "Passphrase", "[ Sign that I approve this ]")
    desk.press(b"\x1b")
    desk.shows("is left as it is.")
    desk.press(b"q")
    assert desk.ends() == 0
    assert desk.attributes == desk.before
    assert b"\x1b[?1049h" in desk.raw, "it has a screen of its own"
    assert desk.raw.rindex(b"\x1b[?1049l") > desk.raw.rindex(b"\x1b[?1049h"), "and gives back the one before"
    assert b"Traceback" not in desk.raw
