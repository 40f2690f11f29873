"""`make demo`: the main job, told step by step with real input, on a Registration Authority of its own.

Everything that is shown is run: `openssl` makes the key and checks the certificate, `ra` does the rest with each
person's own profile. What fails ends the demo with its reason.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.local.process import LocalStackError, wait_until
from deploy.local.stack import ROOT, Stack
from shared.errors import RefusedError
from shared.identifiers import new_request_id

FOLDER = ROOT / ".local" / "demo"
HOST = "www.example.com"
COMMAND_SECONDS = 120
WIDTH = 100


class DemoError(Exception):
    """A step did not do what it should."""


class Story:
    """Tells what happens, on the screen and in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("w")
        self._chapter = 0

    def chapter(self, title: str, text: str) -> None:
        """Begin a step."""
        self._chapter += 1
        self.tell(f"\n{self._chapter}. {title}")
        self.tell(textwrap.indent(textwrap.fill(text, WIDTH - 3), "   "))

    def tell(self, text: str) -> None:
        """Say a line or more."""
        print(text, flush=True)
        self._file.write(text + "\n")
        self._file.flush()

    def quote(self, command: Sequence[str], output: str) -> None:
        """Show a command and what it printed."""
        self.tell(f"\n   $ {' '.join(_shown(word) for word in command)}")
        if output.strip():
            self.tell(textwrap.indent(output.rstrip(), "     "))

    def close(self) -> None:
        """End the file."""
        self._file.close()


class Actor:
    """Runs commands in the demo's folder and tells of them."""

    def __init__(self, stack: Stack, story: Story) -> None:
        self._stack = stack
        self._story = story

    def ra(self, identity: str, *arguments: str) -> str:
        """Do something as this identity."""
        return self._told(["ra", "--profile", _relative(self._stack.profile_file(identity)), *arguments])

    def offline(self, *arguments: str) -> str:
        """Do something that needs no identity and no server."""
        return self._told(["ra", *arguments])

    def openssl(self, *arguments: str) -> str:
        """Let OpenSSL do something."""
        return self._told(["openssl", *arguments])

    def succeeds(self, identity: str, *arguments: str) -> bool:
        """Whether a command works, without telling of it."""
        command = ["ra", "--profile", _relative(self._stack.profile_file(identity)), *arguments]
        return _run(command).returncode == 0

    def _told(self, command: list[str]) -> str:
        done = _run(command)
        self._story.quote(command, done.stdout + done.stderr)
        if done.returncode != 0:
            raise DemoError(f"`{' '.join(command)}` ended with {done.returncode}")
        return done.stdout


def main() -> int:
    """Run the demo; the exit status is 0 only if every step did what it says."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the stack is stopped
    if (FOLDER / "stack").exists():
        Stack(FOLDER / "stack").destroy()  # of a demo that was killed: nothing of it may be left running
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    story = Story(FOLDER / "story.txt")
    stack = Stack(FOLDER / "stack", say=lambda text: story.tell(f"   {text}"))
    try:
        story.tell("Countersign: a certificate that nobody can issue alone.")
        with _running(stack, story):
            _tell_main_job(stack, Actor(stack, story), story)
        _tell_offline(Actor(stack, story), story)
    except (DemoError, LocalStackError, RefusedError, OSError, subprocess.TimeoutExpired) as error:
        story.tell(f"\nThe demo failed: {error}\nLogs: {_relative(stack.directory / 'log')}")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        story.close()
    shutil.rmtree(stack.directory)
    return 0


@contextmanager
def _running(stack: Stack, story: Story) -> Iterator[None]:
    story.chapter(
        "The Registration Authority starts",
        "A private RabbitMQ node, a database, a stand-in for DigiCert that issues real certificates from a throw-away "
        "CA, and the four duties, each a process with credentials of its own.",
    )
    stack.up()
    try:
        yield
    finally:
        story.tell("\n   Stopping everything that was started; RabbitMQ takes some seconds.")
        stack.down()


def _tell_main_job(stack: Stack, actor: Actor, story: Story) -> None:
    request_id = new_request_id()
    _ask(actor, story, request_id)
    _decide(actor, story, request_id)
    _fetch(stack, actor, story, request_id)
    _keep_evidence(stack, actor, story, request_id)
    _revoke(actor, story, request_id)
    _have_a_key_made(actor, story)


def _ask(actor: Actor, story: Story, request_id: str) -> None:
    story.chapter("The shop makes a key and a request", "The private key never leaves the shop's machine.")
    actor.openssl(
        *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"),
        *("-keyout", _file("private-key.pem"), "-out", _file("request.csr")),
        *("-subj", f"/CN={HOST}/O=Example Ltd", "-addext", f"subjectAltName=DNS:{HOST},DNS:example.com"),
    )
    story.chapter(
        "The shop submits it",
        "`ra` signs the submission with the shop's key and publishes it on RabbitMQ. intake screens it against the "
        "policy and countersigns it.",
    )
    actor.ra("shop", "submit", "csr", _file("request.csr"), "--request-id", request_id, "--notes", "The front door")
    actor.ra("shop", "status", request_id)


def _decide(actor: Actor, story: Story, request_id: str) -> None:
    story.chapter(
        "Two people decide",
        "Each looks at exactly what they will sign, and signs with their own key. One approval is not enough.",
    )
    wait_until(
        lambda: actor.succeeds("alice", "desk", "show", request_id), what="approval has not opened the case", limit=30
    )
    actor.ra("alice", "desk", "list")
    actor.ra("alice", "desk", "approve", request_id, "--yes", "--note", "Ours, and the names are right")
    actor.ra("shop", "status", request_id)
    actor.ra("ben", "desk", "approve", request_id, "--yes")


def _fetch(stack: Stack, actor: Actor, story: Story, request_id: str) -> None:
    story.chapter(
        "The issuer orders it, once",
        "It verifies every signature against its own copy of the policy, checks that product and intermediate fit, "
        "stores the intent, and only then orders. What comes back is compared with what was approved.",
    )
    actor.ra("shop", "status", request_id, "--wait", "issued")
    actor.ra("shop", "download", request_id, "--no-chain", "-o", _file("certificate.pem"))
    actor.ra("shop", "download", request_id, "--chain", "-o", _file("chain.pem"))
    root = (stack.directory / "sandbox" / "root.pem").read_text()
    with (FOLDER / "chain.pem").open("a") as chain:
        chain.write(root)
    story.tell("\n   chain.pem now also holds the CA's root, which a real client has in its trust store.")
    actor.openssl("verify", "-CAfile", _file("chain.pem"), _file("certificate.pem"))
    actor.ra("shop", "download", request_id, "--format", "der-x509", "-o", _file("certificate.der"))
    actor.ra("shop", "download", request_id, "--format", "pem-pkcs7", "-o", _file("chain.p7b"))
    _check_key(actor)


def _check_key(actor: Actor) -> None:
    certified = actor.openssl("x509", "-in", _file("certificate.pem"), "-noout", "-pubkey")
    held = actor.openssl("pkey", "-in", _file("private-key.pem"), "-pubout")
    if certified != held:
        raise DemoError("the certificate is for another key than the shop's")


def _keep_evidence(stack: Stack, actor: Actor, story: Story, request_id: str) -> None:
    story.chapter(
        "The evidence",
        "Every step signed what it decided and names the step before. Whoever has the policy's public keys can check "
        "the whole chain, without the product's servers.",
    )
    actor.offline("audit", "anchor", "--policy", _relative(stack.policy_file), "-o", _file("anchor.json"))
    actor.ra("shop", "audit", "export", request_id, "-o", _file("evidence.json"))
    actor.offline("audit", "verify", _file("evidence.json"), "--anchor", _file("anchor.json"))


def _revoke(actor: Actor, story: Story, request_id: str) -> None:
    story.chapter("The certificate is revoked", "By the revoker, whose key at the CA can revoke and cannot order.")
    actor.ra("olga", "revoke", request_id, "--reason", "superseded", "--notes", "The demo is over", "--wait")
    actor.ra("shop", "status", request_id)
    actor.ra("shop", "audit", "export", request_id, "-o", _file("evidence.json"), "--force")


def _have_a_key_made(actor: Actor, story: Story) -> None:
    story.chapter(
        "The shop has a key pair made",
        "This time the issuer makes the key, once people have approved. `ra` seals the password of the PKCS#12 to the "
        "issuer's key: nobody on the way can read it, and the issuer erases the file once it is downloaded.",
    )
    request_id = new_request_id()
    (FOLDER / "password.txt").write_text(f"{secrets.token_urlsafe(24)}\n")
    actor.ra(
        "shop",
        *("submit", "generated", "--key-type", "ecdsa-p256", "--password-file", _file("password.txt")),
        *("--dn", f"CN={HOST}", "--san", f"dns:{HOST}", "--name", "The back door", "--request-id", request_id),
    )
    _decide(actor, story, request_id)
    actor.ra("shop", "status", request_id, "--wait", "issued")
    actor.ra("olga", "sealed", "list")
    actor.ra("shop", "download", request_id, "--format", "der-pkcs12", "-o", _file("identity.p12"))
    actor.openssl("pkcs12", "-in", _file("identity.p12"), "-passin", f"file:{_file('password.txt')}", "-info", "-noout")
    actor.ra("olga", "sealed", "list")
    actor.ra("shop", "audit", "export", request_id, "-o", _file("evidence-generated.json"))
    actor.offline("audit", "verify", _file("evidence-generated.json"), "--anchor", _file("anchor.json"))


def _tell_offline(actor: Actor, story: Story) -> None:
    story.chapter("Nothing runs any more, and the evidence still holds", "The last export knows of the revocation too.")
    actor.offline("audit", "verify", _file("evidence.json"), "--anchor", _file("anchor.json"))
    story.tell(f"\nDone. The files are in {_relative(FOLDER)}:")
    for path in sorted(FOLDER.iterdir()):
        if path.is_file():
            story.tell(f"   {path.name}")


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    tools = {"ra": str(Path(sys.executable).with_name("ra"))}
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": str(WIDTH), "TERM": "dumb"}
    return subprocess.run(
        [tools.get(command[0], command[0]), *command[1:]],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


def _file(name: str) -> str:
    return _relative(FOLDER / name)


def _relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _shown(word: str) -> str:
    return f'"{word}"' if " " in word else word


if __name__ == "__main__":
    sys.exit(main())
