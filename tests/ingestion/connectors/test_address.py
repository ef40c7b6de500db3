"""Addresses as users write them."""

from __future__ import annotations

import pytest

from ingestion.connectors.address import listed, split
from ingestion.connectors.connection_trial import StepFailed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("broker", ("broker", 9092)),
        ("broker:9093", ("broker", 9093)),
        ("[2001:db8::1]:9093", ("2001:db8::1", 9093)),
        ("[2001:db8::1]", ("2001:db8::1", 9092)),
        ("SASL_SSL://broker:65535", ("broker", 65_535)),
    ],
)
def test_an_address_is_a_host_and_a_port_or_the_usual_port(
    text: str, expected: tuple[str, int]
) -> None:
    assert split(text, 9092) == expected


@pytest.mark.parametrize("text", ["", ":9092", "broker:0", "broker:65536", "broker:x", "[::1"])
def test_what_is_no_address_is_said_with_how_to_write_one(text: str) -> None:
    with pytest.raises(StepFailed) as raised:
        split(text, 9092)
    assert raised.value.said == f"{text!r} is not an address."
    assert raised.value.mend.startswith("Write host:port")


def test_each_address_of_a_list_counts_once_and_an_empty_one_not() -> None:
    assert listed(" b:1, a:1 ,,b:1,") == ["b:1", "a:1"]
    assert listed(" , ") == []
