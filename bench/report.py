"""The table that a benchmark prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Result:
    """A measured ``value`` in ``unit``. Higher rates are better; fewer seconds are better.

    ``ratio`` is Millrace's value divided by this one, None for Millrace itself. ``cpu`` has the
    microseconds of CPU per unit of work, by process.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    cpu: dict[str, float] = field(default_factory=dict)
    note: str = ""


def compared(ours: Result, others: Sequence[Result]) -> list[Result]:
    """Millrace's result, and the others with Millrace's ratio to each."""
    rated = [replace(other, ratio=ours.value / other.value) for other in others]
    return [ours, *rated]


def show(title: str, results: Sequence[Result]) -> None:
    table = Table("", title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("", "Millrace is", "CPU, µs a unit"):
        table.add_column(heading, justify="right" if heading != "CPU, µs a unit" else "left")
    for result in results:
        number = f"{result.value:,.0f}" if result.value >= 100 else f"{result.value:.3g}"
        table.add_row(
            result.name + (f" ({result.note})" if result.note else ""),
            f"{number} {result.unit}",
            "" if result.ratio is None else f"{result.ratio:.2f} x",
            ", ".join(f"{name} {micro:,.2f}" for name, micro in result.cpu.items()),
        )
    console = Console(width=130)
    console.print(table)
    console.print()
