"""How many deliveries may be unacknowledged, by a connection's options."""

from __future__ import annotations

from typing import Any

import pytest

from ingestion.connectors.rabbitmq.prefetch import DEFAULT, prefetch
from ingestion.errors import Refused
from ingestion.models import Connection


def rabbitmq(options: dict[str, Any]) -> Connection:
    return Connection(name="r", kind="rabbitmq", addresses="b:5672", options=options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, DEFAULT), ({"prefetch": 1}, 1), ({"prefetch": 65_535}, 65_535)],
)
def test_it_is_what_the_option_says(options: dict[str, Any], expected: int) -> None:
    assert prefetch(rabbitmq(options)) == expected


@pytest.mark.parametrize("value", [0, 65_536, -1, 1.0, True, "100", None])
def test_what_is_no_number_of_messages_is_refused(value: Any) -> None:
    with pytest.raises(Refused, match="from 1 to 65535"):
        prefetch(rabbitmq({"prefetch": value}))
