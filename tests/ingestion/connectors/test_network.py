"""From a name to a broker that answers: where a trial gives up, and what it says then."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ingestion import hosts
from ingestion.connectors import network
from ingestion.connectors.connection_trial import StepFailed
from ingestion.connectors.network import Approach, Greeting
from ingestion.errors import Refused

GREETING = Greeting("Kafka", b"hello", lambda answer: answer == b"kafka")
ONE, TWO = "192.0.2.1", "192.0.2.2"


def resolves(*addresses: str) -> list[tuple[Any, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 9092)) for address in addresses]


class Attempt:
    """A socket that connects, or raises what stands for its address in ``faults``."""

    faults: dict[str, OSError] = {}
    made: list[Attempt] = []

    def __init__(self, *_: Any) -> None:
        self.timeouts: list[float] = []
        self.address: tuple[str, int] = ("", 0)
        self.is_closed = False
        self.made.append(self)

    def settimeout(self, seconds: float) -> None:
        self.timeouts.append(seconds)

    def connect(self, address: tuple[str, int]) -> None:
        self.address = address
        if fault := self.faults.get(address[0]):
            raise fault

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Approach:
    """The way to a name with two addresses, both of which are allowed."""
    monkeypatch.setattr(network, "_resolved", lambda *_: resolves(ONE, TWO))
    monkeypatch.setattr(hosts, "check", lambda _: [ONE, TWO])
    return Approach("b.example", 9092, GREETING, None, has_certificate=False)


def reached(way: Approach) -> tuple[str, str]:
    """What the steps to name and route say."""
    (_, name), (_, route), _ = way.steps
    return name(), route()


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> type[Attempt]:
    monkeypatch.setattr(Attempt, "faults", {})
    monkeypatch.setattr(Attempt, "made", [])
    monkeypatch.setattr(socket, "socket", Attempt)
    return Attempt


# --- Name and route -----------------------------------------------------------------------------


def test_the_first_address_that_accepts_is_taken(way: Approach, attempts: type[Attempt]) -> None:
    attempts.faults = {ONE: ConnectionRefusedError()}
    assert reached(way) == (f"It resolves to {ONE}, {TWO}.", "Port 9092 accepts connections.")
    refused, taken = attempts.made
    assert (refused.is_closed, taken.is_closed) == (True, False)
    # All attempts together take no longer than one step may.
    assert (refused.timeouts, taken.timeouts) == ([2.0], [2.0, 4.0])
    way.close()
    assert taken.is_closed


def test_only_addresses_that_were_checked_are_called(
    way: Approach, attempts: type[Attempt], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name may resolve to another by then."""
    monkeypatch.setattr(hosts, "check", lambda _: [TWO])
    assert reached(way)[0] == f"It resolves to {TWO}."
    assert [one.address for one in attempts.made] == [(TWO, 9092)]


def test_an_address_that_is_off_limits_is_not_called(
    way: Approach, attempts: type[Attempt], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Any) -> list[str]:
        raise Refused("a loopback address")

    monkeypatch.setattr(hosts, "check", refuse)
    with pytest.raises(StepFailed, match="a loopback address"):
        reached(way)
    assert attempts.made == []


def test_an_address_is_said_to_be_one(way: Approach, monkeypatch: pytest.MonkeyPatch) -> None:
    way.host = ONE
    monkeypatch.setattr(network, "_resolved", lambda *_: resolves(ONE, ONE))
    assert way.steps[0][1]() == f"{ONE} is an IP address."


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(-2, "unknown"), "The name 'b.example' can't be resolved."),
        (UnicodeError("label too long"), "The name 'b.example' can't be resolved."),
        (TimeoutError(), "Resolving the name 'b.example' took more than 4 s."),
    ],
)
def test_a_name_that_can_not_be_resolved_is_said(
    error: Exception, said: str, way: Approach, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(network, "_resolved", fail)
    with pytest.raises(StepFailed) as raised:
        reached(way)
    assert raised.value.said == said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(), "Nothing listens at b.example:9092."),
        (TimeoutError(), "b.example:9092 did not answer within 4 s."),
        (OSError(113, "No route to host"), "b.example:9092 can't be reached: No route to host."),
        (OSError(), "b.example:9092 can't be reached: no route."),
    ],
)
def test_why_no_address_accepts_is_said(
    error: OSError, said: str, way: Approach, attempts: type[Attempt]
) -> None:
    attempts.faults = {ONE: OSError(1, "earlier"), TWO: error}
    with pytest.raises(StepFailed) as raised:
        reached(way)
    assert raised.value.said == said


# --- Who is there -------------------------------------------------------------------------------


@pytest.fixture
def answering(way: Approach) -> Iterator[Callable[[bytes | None], str]]:
    """What the step TLS says, without TLS, if the other end answers this; None: if it hangs up."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0.05)

    def answer(said: bytes | None) -> str:
        if said is None:
            theirs.close()
        elif said:
            theirs.send(said)
        way._socket = ours
        return way.steps[2][1]()

    yield answer
    ours.close()
    theirs.close()


def test_a_broker_is_known_by_its_answer(answering: Callable[[bytes | None], str]) -> None:
    assert answering(b"kafka") == "Off: everything that is sent can be read in transit."


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 400", "Something answers at b.example:9092, but it is not Kafka."),
        (b"\x15\x03\x03\x00\x02", "b.example:9092 speaks TLS, and TLS is off."),
        (b"", "b.example:9092 accepts connections but sends nothing for 4 s."),
        (
            None,
            "b.example:9092 hangs up. Most likely it expects TLS, and TLS is off.",
        ),
    ],
)
def test_who_answers_otherwise_is_told_apart(
    answer: bytes | None, said: str, answering: Callable[[bytes | None], str]
) -> None:
    with pytest.raises(StepFailed) as raised:
        answering(answer)
    assert raised.value.said == said
