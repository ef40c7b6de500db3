"""Charts of admin pages, drawn here and not in the browser: figures over time as an SVG's paths.

A drawing is as many units wide as it has columns, and HEIGHT high; the page stretches it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal

HEIGHT = 100
#: How a line is coloured, by what it says: static/millrace/admin.css.
Tone = Literal["main", "side", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Series:
    """One figure over time, a value a column; None where there is none, and then a gap."""

    name: str
    tone: Tone
    values: Sequence[float | None]
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """A series as paths; ``area`` is empty where it is not filled."""

    name: str
    tone: Tone
    line: str
    area: str


@dataclass(frozen=True, slots=True)
class Chart:
    """``starts``: when each column begins. ``told`` writes a value with its unit.

    ``now`` is what the chart's heading says beside its title; ``form`` how times are written.
    """

    title: str
    now: str
    starts: Sequence[datetime]
    series: Sequence[Series]
    told: Callable[[float], str]
    form: str = ""

    @property
    def width(self) -> int:
        return len(self.starts)

    @property
    def top(self) -> float:
        """Where the scale ends: a round number that nothing goes beyond."""
        return rounded_up(max((value for one in self.series for value in _known(one)), default=0))

    @property
    def top_told(self) -> str:
        return self.told(self.top)

    def drawn(self) -> list[Drawn]:
        return [
            Drawn(one.name, one.tone, self._line(one), self._area(one) if one.filled else "")
            for one in self.series
        ]

    def columns(self) -> list[tuple[int, str]]:
        """Of each column that holds something: its place, and all its values in words."""
        return [
            (place, f"{start:{self._form}} UTC: {words}")
            for place, start in enumerate(self.starts)
            if (words := self._words(place))
        ]

    def summary(self) -> str:
        """The chart in a sentence, for who can't see it."""
        most = max((value for one in self.series for value in _known(one)), default=0)
        return f"{self.title}: now {self.now}, at most {self.told(most)}"

    def times(self) -> list[str]:
        """What stands below: the first column's time, that of the middle, and the last's."""
        at = (0, self.width // 2, self.width - 1)
        return [f"{self.starts[place]:{self._form}}" for place in at]

    @property
    def _form(self) -> str:
        """How a time is written: as ``form`` says, else with its day where there are several."""
        if self.form:
            return self.form
        return "%H:%M" if (self.starts[-1] - self.starts[0]).days < 1 else "%a %H:%M"

    def _words(self, place: int) -> str:
        values = [(one.name, one.values[place]) for one in self.series]
        return ", ".join(f"{name} {self.told(value)}" for name, value in values if value)

    def _line(self, series: Series) -> str:
        return " ".join(f"M{x} {_steps(run, self.top)}" for x, run in _runs(series.values))

    def _area(self, series: Series) -> str:
        return " ".join(
            f"M{x} {HEIGHT} L{x} {_steps(run, self.top)} V{HEIGHT} Z"
            for x, run in _runs(series.values)
        )


def rounded_up(value: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is not below ``value``; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    found = next(step for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))
    return found * power


def _known(series: Series) -> list[float]:
    return [value for value in series.values if value is not None]


def _runs(values: Sequence[float | None]) -> Iterator[tuple[int, list[float]]]:
    """Values without a gap among them, each run with the place at which it begins."""
    for known, run in groupby(enumerate(values), key=lambda one: one[1] is not None):
        if known:
            pairs = list(run)
            yield pairs[0][0], [value for _, value in pairs if value is not None]


def _steps(run: Sequence[float], top: float) -> str:
    """From the height of the first value on, one step to the right for each; ``x`` goes before."""
    heights = [f"{HEIGHT - HEIGHT * value / top:.4g}" for value in run]
    return f"{heights[0]} h1" + "".join(f" V{height} h1" for height in heights[1:])
