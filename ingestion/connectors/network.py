"""The trial's steps from a name to a broker that answers, the same for every kind of broker."""

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

#: How a TLS server's answer to plain text begins: an alert record.
_TLS_ALERT = b"\x15\x03"


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first bytes that a client of the kind sends, and how to recognise the broker's answer."""

    broker: str
    said: bytes
    is_answer: Callable[[bytes], bool]


class Approach:
    """The steps to reach one address.

    ``context`` is None if TLS is off; ``has_certificate``: whether it has a client certificate.
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
            said = f"Resolving the name {self.host!r} took more than {TIMEOUT:.0f} s."
            mend = "Make sure that this machine's name server (DNS) answers."
            raise StepFailed(said, mend) from error
        except (OSError, UnicodeError) as error:
            said = f"The name {self.host!r} can't be resolved."
            mend = (
                "Correct the name, or add it to the DNS that the machines of Millrace's workers "
                "use."
            )
            raise StepFailed(said, mend) from error
        self._look_where_it_leads()
        known = sorted({str(entry[4][0]) for entry in self._found})
        return (
            f"{self.host} is an IP address."
            if known == [self.host]
            else f"It resolves to {', '.join(known)}."
        )

    def _look_where_it_leads(self) -> None:
        try:
            allowed = set(hosts.check(hosts.HostPort(self.host, self.port)))
        except Refused as error:
            mend = "Enter the address of a broker, or ask the operator to open this address."
            raise StepFailed(str(error), mend) from error
        # The name may resolve to something else by now: connect only to addresses that were
        # checked.
        self._found = [
            entry for entry in self._found if str(entry[4][0]).partition("%")[0] in allowed
        ]

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
                "Allow this machine to reach that port (firewall, security group), or correct the "
                "address."
            )
            return StepFailed(said, mend)
        reason = (error and error.strerror) or "no route"
        mend = "Check the network between this machine and the broker, or correct the address."
        return StepFailed(f"{self._where} can't be reached: {reason}.", mend)

    # --- TLS, and who is there ------------------------------------------------------------------

    def _tls(self) -> str:
        if self._context is None:
            self._greet_plainly()
            return "Off: everything that is sent can be read in transit."
        secured = self._handshaken(self._context)
        try:
            answer = self._answer(secured)
        except OSError as error:
            raise handshake.hung_up(error, self._where, self._has_certificate) from error
        if not self._greeting.is_answer(answer):
            raise self._somebody_else()
        handshake.see_that_it_lasts(secured, self._where)
        checked = "verified" if self._context.verify_mode else "NOT verified: the options say so"
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
            said = f"{self._where} accepts connections but sends nothing for {TIMEOUT:.0f} s."
            mend = "Make sure that the broker is running and that this is its port."
            raise StepFailed(said, mend) from error
        except OSError:
            answer = b""
        if self._greeting.is_answer(answer):
            return
        if answer and not answer.startswith(_TLS_ALERT):
            raise self._somebody_else()
        said = f"{self._where} speaks TLS, and TLS is off."
        if not answer:
            said = f"{self._where} hangs up. Most likely it expects TLS, and TLS is off."
        mend = "Turn TLS on for this connection, or use the port of the broker's plain listener."
        raise StepFailed(said, mend)

    def _somebody_else(self) -> StepFailed:
        broker = self._greeting.broker
        mend = f"Correct the port: enter that of a {broker} listener."
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
