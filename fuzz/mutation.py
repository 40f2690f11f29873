"""Changes to a JSON document that keep it one, and what every such way of changing input is given."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

Scramble = Callable[[bytes], bytes]
"""What the fuzzer makes of bytes of whose structure it knows nothing."""
Mutator = Callable[[bytes, Random, Scramble], bytes]
"""Makes other input of the same structure; the same number from `Random` gives the same change."""

NOISE = 0.15
"""How often structured input is scrambled all the same."""
HOW_MANY = (1, 1, 1, 2, 4)
"""Changes at once, to choose from."""

_VALUES: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**30, [], {}, [[]], {"": None}, {"$gt": ""}, ["a"] * 11),
    *("", "\0", "a" * 101, "x" * 65_537, "\ud800", "\u2028", "\N{RIGHT-TO-LEFT OVERRIDE}", "$where", "a@example.com"),
    *("0190a0c0-1111-7000-8000-000000000001", "1970-01-01", "9999-12-31", "2026-11-21T00:00:00Z", "shop", "web"),
    *("unsigned", "jws", "a.b.c", "e30.e30.e30", "ra.request.submit.v1", "ra.request.submit.v2"),
)


def mutate_json(data: bytes, chance: Random, scramble: Scramble) -> bytes:
    """The same document with a few values, fields or names changed; now and then plain noise."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return scramble(data)
    if chance.random() < NOISE:
        return scramble(data)
    for _ in range(chance.choice(HOW_MANY)):
        spots = list(_spots(document))
        if spots:
            _change(*chance.choice(spots), chance, scramble)
    return json.dumps(document, ensure_ascii=chance.choice((True, False))).encode("utf-8", "surrogatepass")


def _spots(document: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - JSON holds anything
    """Every place of a value: the object or list that holds it, and its key there."""
    keys = document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in keys:
        yield document, key
        yield from _spots(document[key])


def _change(holder: Any, key: Any, chance: Random, scramble: Scramble) -> None:  # noqa: ANN401 - JSON holds anything
    value = holder[key]
    match chance.randrange(6):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[_scrambled(key, scramble)] = holder.pop(key)
        case 2 if isinstance(holder, dict):
            holder[chance.choice(list(holder))] = value
        case 2:
            holder.insert(key, deepcopy(value))
        case 3:
            holder[key] = [value] * chance.choice((1, 2, 300))
        case _ if isinstance(value, str) and chance.choice((True, False)):
            holder[key] = _scrambled(value, scramble)
        case _:
            holder[key] = deepcopy(chance.choice(_VALUES))


def _scrambled(text: str, scramble: Scramble) -> str:
    return scramble(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
