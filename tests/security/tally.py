"""What was tried, at which wall, and what got through."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.security.attacks import Attack


@dataclass
class Tally:
    """Counts by kind and wall. One of them is printed when the run is over."""

    tried: Counter[tuple[str, str]] = field(default_factory=Counter)
    leaks: list[tuple[str, Attack, str]] = field(default_factory=list)

    def note(self, wall: str, attack: Attack, leaked: str) -> None:
        """An attack was tried at ``wall``; ``leaked`` says what it got, '' for nothing."""
        self.tried[attack.kind, wall] += 1
        if leaked:
            self.leaks.append((wall, attack, leaked))

    def at(self, wall: str, kind: str = "") -> list[tuple[str, str]]:
        """What leaked at a wall: what was tried, and what it got."""
        return [
            (attack.what, leaked)
            for where, attack, leaked in self.leaks
            if where == wall and kind in ("", attack.kind)
        ]

    def table(self) -> list[str]:
        """Lines of a table, kinds down and walls across, zeros left empty."""
        walls = sorted({wall for _, wall in self.tried})
        kinds = sorted({kind for kind, _ in self.tried})
        width = max(map(len, kinds)) + 2
        lines = [f"{'attacks tried':<{width}}" + "".join(f"{wall:>12}" for wall in walls)]
        for kind in kinds:
            counts = (self.tried[kind, wall] for wall in walls)
            lines.append(f"{kind:<{width}}" + "".join(f"{count or '':>12}" for count in counts))
        totals = (sum(self.tried[kind, wall] for kind in kinds) for wall in walls)
        lines.append(f"{'in all':<{width}}" + "".join(f"{total:>12}" for total in totals))
        leaks = (len(self.at(wall)) for wall in walls)
        lines.append(f"{'leaks':<{width}}" + "".join(f"{count:>12}" for count in leaks))
        return lines


RUN = Tally()
