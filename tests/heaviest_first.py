"""The order of files where xdist gives each file to one process (``--dist loadfile``).

A file's tests stay together, since they share what is made once for it: each process would start
an installation of its own otherwise. The heaviest files come first, so that no process is left
with a long one while the others have ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest

#: Seconds that a test of such a mark takes, roughly; the first that it has counts.
_SECONDS = {"browser": 15.0, "chaos": 20.0, "slow": 6.0, "security": 5.0}
_SECONDS_OF_OTHERS = 0.15


# xdist's processes tell the first one the order; pytest-randomly has shuffled by then.
@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Iterator[None]:
    """Sort the files; within a file the order stays random."""
    result = yield
    if hasattr(config, "workerinput"):
        weights: defaultdict[str, float] = defaultdict(float)
        for item in items:
            weights[_file(item)] += _seconds(item)
        items.sort(key=lambda item: (-weights[_file(item)], _file(item)))
    return result


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _seconds(item: pytest.Item) -> float:
    marks = (seconds for mark, seconds in _SECONDS.items() if item.get_closest_marker(mark))
    return next(marks, _SECONDS_OF_OTHERS)
