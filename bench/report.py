"""The one table that a run prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Result:
    """``value`` in ``unit``; ``ratio`` is Millrace's value over this one's, or None for itself.

    Of rates more is better, of seconds less.

    ``cpu`` says of whom and how many microseconds of CPU a unit of work took.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    cpu: dict[str, float] = field(default_factory=dict)
    note: str = ""


def compared(ours: Result, others: Sequence[Result]) -> list[Result]:
    """The others with Millrace's ratio to each."""
    rated = [
        Result(one.name, one.value, one.unit, ours.value / one.value, one.cpu, one.note)
        for one in others
    ]
    return [ours, *rated]


def show(title: str, results: Sequence[Result]) -> None:
    table = Table("", title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("", "Millrace is", "CPU, µs a unit"):
        table.add_column(heading, justify="right" if heading != "CPU, µs a unit" else "left")
    for one in results:
        table.add_row(
            one.name + (f" ({one.note})" if one.note else ""),
            f"{one.value:,.0f} {one.unit}" if one.value >= 100 else f"{one.value:.3g} {one.unit}",
            "" if one.ratio is None else f"{one.ratio:.2f} x",
            ", ".join(f"{who} {micro:,.2f}" for who, micro in one.cpu.items()),
        )
    console = Console(width=130)
    console.print(table)
    console.print()
