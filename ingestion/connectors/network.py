"""The steps from a name to a broker that greets us: the same for every kind of broker."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ingestion import hosts
from ingestion.connectors import handshake
from ingestion.connectors.connection_trial import TIMEOUT, Act, StepFailed, TrialStep
from ingestion.errors import Refused
from ingestion.waiting import within

#: The record that a TLS server answers with when it did not understand: an alert.
_TLS_ALERT = b"\x15\x03"


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a client of the kind says first, and how to know the broker's answer."""

    broker: str
    said: bytes
    is_answer: Callable[[bytes], bool]


class Approach:
    """The way to one address. ``context`` is None where TLS is off; ``has_certificate``: it shows
    one of ours.
    """

    def __init__(
        self,
        host: str,
        port: int,
        greeting: Greeting,
        context: ssl.SSLContext | None,
        *,
        has_certificate: bool,
    ) -> None:
        self.host, self.port = host, port
        self._greeting, self._context = greeting, context
        self._has_certificate = has_certificate
        self._found: list[tuple[Any, ...]] = []
        self._socket: socket.socket | None = None

    @property
    def steps(self) -> list[tuple[TrialStep, Act]]:
        return [
            (TrialStep.NAME, self._name),
            (TrialStep.ROUTE, self._route),
            (TrialStep.TLS, self._tls),
        ]

    @property
    def _where(self) -> str:
        return f"{self.host}:{self.port}"

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    # --- Name -----------------------------------------------------------------------------------

    def _name(self) -> str:
        try:
            self._found = within(TIMEOUT, lambda: _resolved(self.host, self.port))
        except TimeoutError as error:
            said = f"The name {self.host!r} was not answered for within {TIMEOUT:.0f} s."
            raise StepFailed(said, "See that this machine's name server (DNS) answers.") from error
        except (OSError, UnicodeError) as error:
            said = f"No machine is known by the name {self.host!r}."
            mend = (
                "Correct the name, or make it known to the DNS that the machines with Millrace's "
                "workers ask."
            )
            raise StepFailed(said, mend) from error
        self._look_where_it_leads()
        known = sorted({str(one[4][0]) for one in self._found})
        return (
            f"{self.host} is an address." if known == [self.host] else f"It is {', '.join(known)}."
        )

    def _look_where_it_leads(self) -> None:
        try:
            allowed = set(hosts.check(hosts.HostPort(self.host, self.port)))
        except Refused as error:
            mend = "Give the address of a broker, or ask who runs this installation to open it."
            raise StepFailed(str(error), mend) from error
        # The name may have changed its mind meanwhile: what was looked at is what is called.
        self._found = [one for one in self._found if str(one[4][0]).partition("%")[0] in allowed]

    # --- Route ----------------------------------------------------------------------------------

    def _route(self) -> str:
        failure: OSError | None = None
        for family, kind, protocol, _, address in self._found:
            attempt = socket.socket(family, kind, protocol)
            attempt.settimeout(TIMEOUT / len(self._found))
            try:
                attempt.connect(address)
            except OSError as error:
                attempt.close()
                failure = error
                continue
            attempt.settimeout(TIMEOUT)
            self._socket = attempt
            return f"Port {self.port} accepts connections."
        raise self._no_route(failure) from failure

    def _no_route(self, error: OSError | None) -> StepFailed:
        if isinstance(error, ConnectionRefusedError):
            mend = "Correct the port, or start the broker with a listener on it."
            return StepFailed(f"Nothing listens at {self._where}.", mend)
        if isinstance(error, TimeoutError):
            said = f"{self._where} did not answer within {TIMEOUT:.0f} s."
            mend = (
                "Let this machine through to that port (firewall, security group), or correct it."
            )
            return StepFailed(said, mend)
        reason = (error and error.strerror) or "no way there"
        mend = "See to the network between this machine and the broker, or correct the address."
        return StepFailed(f"{self._where} can't be reached: {reason}.", mend)

    # --- TLS, and who is there ------------------------------------------------------------------

    def _tls(self) -> str:
        if self._context is None:
            self._greet_plainly()
            return "Off: all that is sent can be read on the way."
        secured = self._handshaken(self._context)
        try:
            answer = self._answer(secured)
        except OSError as error:
            raise handshake.hung_up(error, self._where, self._has_certificate) from error
        if not self._greeting.is_answer(answer):
            raise self._somebody_else()
        handshake.see_that_it_lasts(secured, self._where)
        checked = "verified" if self._context.verify_mode else "NOT verified, as the options say"
        return f"{secured.version()}; the broker's certificate is {checked}."

    def _handshaken(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        try:
            secured = context.wrap_socket(self._taken(), server_hostname=self.host)
        except OSError as error:
            raise handshake.failure(error, self.host, self.port, self._has_certificate) from error
        self._socket = secured
        return secured

    def _greet_plainly(self) -> None:
        plain = self._taken()
        self._socket = plain
        try:
            answer = self._answer(plain)
        except TimeoutError as error:
            said = f"{self._where} accepts connections and says nothing for {TIMEOUT:.0f} s."
            mend = "See that the broker there is alive, and that the port is its own."
            raise StepFailed(said, mend) from error
        except OSError:
            answer = b""
        if self._greeting.is_answer(answer):
            return
        if answer and not answer.startswith(_TLS_ALERT):
            raise self._somebody_else()
        sure = "speaks TLS" if answer else "hangs up on us, as one does that expects TLS"
        mend = "Turn TLS on for this connection, or use the port of the broker's plain listener."
        raise StepFailed(f"{self._where} {sure}, and TLS is off.", mend)

    def _somebody_else(self) -> StepFailed:
        broker = self._greeting.broker
        mend = f"Correct the port: give that of a {broker} listener."
        return StepFailed(f"Something answers at {self._where}, but it is not {broker}.", mend)

    def _answer(self, sock: socket.socket) -> bytes:
        sock.sendall(self._greeting.said)
        answer = sock.recv(64)
        if not answer:
            raise ConnectionError("closed")
        return answer

    def _taken(self) -> socket.socket:
        if self._socket is None:
            raise RuntimeError("TLS is tried after the route.")
        return self._socket


def _resolved(host: str, port: int) -> list[tuple[Any, ...]]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
