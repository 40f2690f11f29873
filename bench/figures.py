"""What a bench finds out: figures, some of them with a limit."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """One figure; without a limit it is only told."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it is within its limits."""
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )


def as_table(figures: Sequence[Figure]) -> str:
    """For people."""
    rows = [("figure", "value", "limit", "")] + [
        (each.name, f"{each.value:.4g} {each.unit}".rstrip(), _limit(each), "" if each.holds else "MISSED")
        for each in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def as_json(figures: Sequence[Figure]) -> str:
    """For programs."""
    return json.dumps({"figures": [asdict(each) | {"holds": each.holds} for each in figures]}, indent=2)


def _limit(figure: Figure) -> str:
    limits = (("at most", figure.at_most), ("at least", figure.at_least))
    return ", ".join(f"{words} {limit:g}" for words, limit in limits if limit is not None)
