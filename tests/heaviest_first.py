"""What xdist's processes get as one piece (``--dist loadfile``), and in which order.

A file's tests stay together, since they share what is made once for it: each process would start
an installation of its own otherwise. So do the files of a folder that share one. The heaviest come
first, so that no process is left with a long piece while the others have ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

#: Folders whose files share an installation.
_TOGETHER = ("tests/browser/",)
#: Seconds that a test of such a mark takes, roughly; the first that it has counts.
_SECONDS = {"browser": 15.0, "chaos": 20.0, "slow": 6.0, "security": 5.0}
_SECONDS_OF_OTHERS = 0.15


# xdist is imported late, because runs without it load this plugin as well.
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """xdist's scheduling by file, with one piece for each folder that shares an installation."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _piece(nodeid)

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


# Each of xdist's processes reports its order to the first. By then pytest-randomly has shuffled.
@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Iterator[None]:
    """Sort the pieces; within one the order stays random."""
    result = yield
    if hasattr(config, "workerinput"):
        weights: defaultdict[str, float] = defaultdict(float)
        for item in items:
            weights[_piece(item.nodeid)] += _seconds(item)
        items.sort(key=lambda item: (-weights[_piece(item.nodeid)], _file(item.nodeid)))
    return result


def _piece(nodeid: str) -> str:
    return next((one for one in _TOGETHER if nodeid.startswith(one)), _file(nodeid))


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _seconds(item: pytest.Item) -> float:
    marks = (seconds for mark, seconds in _SECONDS.items() if item.get_closest_marker(mark))
    return next(marks, _SECONDS_OF_OTHERS)
