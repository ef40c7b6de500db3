"""Charts of admin pages: figures over time as SVG paths, drawn on the server.

A drawing is one unit wide per column, and HEIGHT units high; the page stretches it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal

HEIGHT = 100
#: The colour of a line, by its meaning; see static/millrace/admin.css.
Tone = Literal["main", "side", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Series:
    """One figure over time, one value per column. None leaves a gap."""

    name: str
    tone: Tone
    values: Sequence[float | None]
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """A series as SVG paths; ``area`` is empty unless the series is filled."""

    name: str
    tone: Tone
    line: str
    area: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of one or more series.

    ``starts``: when each column begins. ``told`` formats a value with its unit. ``now`` is the
    current value, shown next to the title. ``form`` is the strftime format of times.
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
        """The end of the scale: a round number that no value exceeds."""
        return rounded_up(self._most())

    @property
    def top_told(self) -> str:
        return self.told(self.top)

    def drawn(self) -> list[Drawn]:
        return [
            Drawn(
                series.name,
                series.tone,
                self._line(series),
                self._area(series) if series.filled else "",
            )
            for series in self.series
        ]

    def columns(self) -> list[tuple[int, str]]:
        """The place and the tooltip of each column that has values."""
        return [
            (place, f"{start:{self._form}} UTC: {words}")
            for place, start in enumerate(self.starts)
            if (words := self._words(place))
        ]

    def summary(self) -> str:
        """The chart in a sentence, for screen readers."""
        return f"{self.title}: now {self.now}, at most {self.told(self._most())}"

    def _most(self) -> float:
        return max((value for series in self.series for value in _known(series)), default=0)

    def times(self) -> list[str]:
        """The times below the chart: of the first, the middle and the last column."""
        at = (0, self.width // 2, self.width - 1)
        return [f"{self.starts[place]:{self._form}}" for place in at]

    @property
    def _form(self) -> str:
        """The strftime format of times: ``form``, or one with the weekday for several days."""
        if self.form:
            return self.form
        return "%H:%M" if (self.starts[-1] - self.starts[0]).days < 1 else "%a %H:%M"

    def _words(self, place: int) -> str:
        values = [(series.name, series.values[place]) for series in self.series]
        return ", ".join(f"{name} {self.told(value)}" for name, value in values if value)

    def _line(self, series: Series) -> str:
        return " ".join(f"M{x} {_steps(run, self.top)}" for x, run in _runs(series.values))

    def _area(self, series: Series) -> str:
        return " ".join(
            f"M{x} {HEIGHT} L{x} {_steps(run, self.top)} V{HEIGHT} Z"
            for x, run in _runs(series.values)
        )


def rounded_up(value: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below ``value``; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    factor = next(step for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))
    return factor * power


def _known(series: Series) -> list[float]:
    return [value for value in series.values if value is not None]


def _runs(values: Sequence[float | None]) -> Iterator[tuple[int, list[float]]]:
    """Runs of values without a gap, each with the column where it begins."""
    for known, run in groupby(enumerate(values), key=lambda pair: pair[1] is not None):
        if known:
            pairs = list(run)
            yield pairs[0][0], [value for _, value in pairs if value is not None]


def _steps(run: Sequence[float], top: float) -> str:
    """The path of a run: from the first value's height, one step to the right for each value."""
    heights = [f"{HEIGHT - HEIGHT * value / top:.4g}" for value in run]
    return f"{heights[0]} h1" + "".join(f" V{height} h1" for height in heights[1:])
