"""Where a secret left a trace: in messages, documents and files, as it is and in encodings that hide it from the eye.

What a database has compressed in its files is not seen there; that is why its documents are searched as well.
"""

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import bson
from bson import json_util

from deploy.local.stack import Stack
from shared.rabbit.topology import EXCHANGES

TAP = "tap"
"""A queue to which everything comes that is ever published in the virtual host; nobody consumes it."""
_LINE_BREAKS = re.compile(rb"\r|\n|\\r|\\n")
_GROUP = 3
"""How many bytes four characters of base64 stand for: where a secret begins among them decides how it reads."""

Places = Mapping[str, bytes]


@dataclass(frozen=True)
class Moment:
    """All that was there at one moment of a request's life."""

    messages: Places
    documents: Places
    files: Path
    """Copies of the stack's, the broker's and the database's files."""

    def holding(self, secrets: Mapping[str, bytes]) -> set[tuple[str, str]]:
        """Where which secret is, and in which form."""
        needles = {f"{name}, {form}": needle for name, said in secrets.items() for form, needle in forms(said)}
        found: set[tuple[str, str]] = set()
        for place, data in self._everything():
            joined = _LINE_BREAKS.sub(b"", data)
            found.update((place, name) for name, needle in needles.items() if needle in data or needle in joined)
        return found

    def _everything(self) -> Iterator[tuple[str, bytes]]:
        yield from self.messages.items()
        yield from self.documents.items()
        for path in sorted(self.files.rglob("*")):
            if path.is_file():
                yield f"file {path.relative_to(self.files)}", path.read_bytes()


def forms(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """What to look for, wherever in a longer text the secret begins; line breaks are looked through by the search."""
    yield "plain", secret
    yield "hex", secret.hex().encode()
    yield "hex in capitals", secret.hex().upper().encode()
    for encode, name in ((b64encode, "base64"), (urlsafe_b64encode, "base64url")):
        for shift in range(_GROUP):
            yield f"{name}, {shift} bytes in", _middle(encode, secret, shift)


def written(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """The secret as somebody could have written it down, under the same names: among other things, and in lines."""
    yield "plain", b"a: " + secret + b", b"
    yield "hex", b"0x" + secret.hex().encode() + b"00"
    yield "hex in capitals", b"0x" + secret.hex().upper().encode() + b"00"
    for encode, name in ((b64encode, "base64"), (urlsafe_b64encode, "base64url")):
        for shift in range(_GROUP):
            text = encode(b"before"[:shift] + secret + b"after")
            yield f"{name}, {shift} bytes in", text[:20] + b"\n" + text[20:]


def _middle(encode: Callable[[bytes], bytes], secret: bytes, shift: int) -> bytes:
    """The characters that depend on the secret alone."""
    text = encode(bytes(shift) + secret + bytes(_GROUP))
    return text[-(-shift * 8 // 6) : (shift + len(secret)) * 8 // 6]


async def tap(stack: Stack) -> None:
    """Let everything that is published from now on pile up, whoever else gets it."""
    async with await aio_pika.connect(stack.broker.amqp_url(stack.virtual_host)) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(TAP, durable=True)
        for exchange in EXCHANGES:
            await queue.bind(exchange, "#")


async def put(stack: Stack, queue: str, body: bytes) -> None:
    """A message of anybody's, straight into a queue."""
    async with await aio_pika.connect(stack.broker.amqp_url(stack.virtual_host)) as connection:
        channel = await connection.channel()
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, queue)


async def moment(stack: Stack, files: Path) -> Moment:
    """What is there now; `files` is a folder for copies, which is not there yet."""
    messages = await _messages(stack)
    documents = dict(_documents(stack))
    for name, folder in (
        ("stack", stack.directory),
        ("broker", stack.broker.directory),
        ("database", stack.database.directory),
    ):
        _copy(folder, files / name)
    return Moment(messages, documents, files)


async def _messages(stack: Stack) -> Places:
    """What lies in all queues, parked messages included; it stays there, as nothing of it is acknowledged."""
    found: dict[str, bytes] = {}
    with stack.broker.management() as management:
        names = [
            queue.name
            for queue in management.queues(stack.virtual_host)
            if not queue.name.startswith("session.")  # these are exclusive; the tap has what came to them
        ]
    async with await aio_pika.connect(stack.broker.amqp_url(stack.virtual_host)) as connection:
        for name in names:
            channel = await connection.channel()
            queue = await channel.get_queue(name, ensure=False)
            while (message := await queue.get(fail=False)) is not None:
                said = repr((message.headers, message.properties)).encode()
                found[f"message {len(found)} in {name}"] = said + b"\n" + message.body
            await channel.close()
    return found


def _documents(stack: Stack) -> Iterable[tuple[str, bytes]]:
    """Every document of every database, as BSON and as JSON."""
    with stack.database.admin() as client:
        for name in stack.databases.values():
            for collection in client[name].list_collection_names():
                for number, document in enumerate(client[name][collection].find()):
                    text = json_util.dumps(document).encode()
                    yield f"document {number} in {name} {collection}", bson.encode(document) + b"\n" + text


def _copy(source: Path, target: Path) -> None:
    """What is there; servers go on writing meanwhile, and may remove what they no longer need."""
    for path in source.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                copy.write_bytes(path.read_bytes())
            except FileNotFoundError:
                copy.unlink(missing_ok=True)
