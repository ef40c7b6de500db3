"""Why a TLS handshake failed: whose certificate it is about, and what to do."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from secured_brokers.certificates import Authority

from ingestion.connectors import handshake
from ingestion.connectors.connection_trial import StepDoubtful, StepFailed
from ingestion.connectors.handshake import failure, hung_up, see_that_it_lasts


def tls_error(reason: str, kind: type[ssl.SSLError] = ssl.SSLError) -> ssl.SSLError:
    error = kind(1, reason)
    error.reason = reason
    return error


def unverified(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "no")
    error.verify_code, error.verify_message = code, "the reason"
    return error


def said(error: Exception, *, has_certificate: bool = False) -> str:
    return failure(error, "b", 1, has_certificate).said


# --- The client's certificate, and no TLS at all ------------------------------------------------


@pytest.mark.parametrize(
    "reason",
    [
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "TLSV1_ALERT_UNKNOWN_CA",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    ],
)
def test_a_broker_that_rejects_the_client_wants_a_certificate_or_another(reason: str) -> None:
    assert "asks for a client certificate" in said(tls_error(reason))
    rejected = said(tls_error(reason), has_certificate=True)
    alert = reason.partition("ALERT_")[2].replace("_", " ").lower()
    assert rejected == f"b:1 refuses the client certificate ({alert})."
    # With TLS 1.3 it says so only after the handshake.
    assert hung_up(tls_error(reason), "b:1", True).said == rejected


@pytest.mark.parametrize(
    "error",
    [
        tls_error("WRONG_VERSION_NUMBER"),
        tls_error("RECORD_LAYER_FAILURE"),
        tls_error("UNEXPECTED_EOF_WHILE_READING"),
        tls_error("PACKET_LENGTH_TOO_LONG"),
        ssl.SSLEOFError(8, "EOF"),
        ssl.SSLZeroReturnError(6, "closed"),
        ConnectionResetError("reset"),
    ],
)
def test_a_port_without_tls_is_told_from_a_bad_certificate(error: Exception) -> None:
    assert said(error) == "b:1 does not speak TLS."


def test_other_failures_are_told_by_their_reason() -> None:
    assert said(TimeoutError()) == "b:1 did not answer the TLS handshake within 4 s."
    assert said(tls_error("NO_SHARED_CIPHER")).endswith("failed: no shared cipher.")
    assert said(OSError("odd")).endswith("failed: odd.")


@pytest.mark.parametrize(
    ("error", "has_certificate", "expected"),
    [
        (TimeoutError(), True, "speaks TLS but did not answer"),
        (ConnectionResetError(), False, "it asks for a client certificate"),
        (ConnectionResetError(), True, "it refuses the client certificate"),
    ],
)
def test_a_broker_that_hangs_up_after_the_handshake_most_likely_wants_a_certificate(
    error: OSError, has_certificate: bool, expected: str
) -> None:
    assert expected in hung_up(error, "b:1", has_certificate).said


# --- The broker's certificate -------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate() -> x509.Certificate:
    """Of the broker, for seven names; expired two days ago."""
    names = [f"b{number}.example" for number in range(6)]
    made = Authority("Our CA").server(*names, days=-2)
    return x509.load_pem_x509_certificate(made.certificate.encode())


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, certificate: x509.Certificate) -> None:
    monkeypatch.setattr(handshake, "_certificate", lambda *_: certificate)


@pytest.mark.usefixtures("shown")
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (9, "is not valid yet"),
        (62, "is for b0.example, b1.example, b2.example, b3.example, b4.example, …, not for b."),
        (64, "not for b."),
        (2, "is signed by 'Our CA', which"),
        (18, "is signed by 'Our CA', which"),
        (19, "is signed by 'Our CA', which"),
        (20, "is signed by 'Our CA', which"),
        (21, "is signed by 'Our CA', which"),
        (99, "is not accepted: the reason."),
    ],
)
def test_what_is_wrong_with_the_brokers_certificate_is_said(code: int, expected: str) -> None:
    assert expected in said(unverified(code))


@pytest.mark.usefixtures("shown")
def test_a_certificate_that_has_expired_says_when(certificate: x509.Certificate) -> None:
    expired = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
    assert f"expired on {expired} (today is" in said(unverified(10))


@pytest.mark.parametrize(
    ("code", "expected"),
    [(10, "expired (today"), (62, "is for another name"), (20, "is signed, which")],
)
def test_it_is_said_too_if_the_certificate_can_not_be_had(
    code: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "_certificate", lambda *_: None)
    assert expected in said(unverified(code))


# --- A certificate that expires soon ------------------------------------------------------------


class Secured:
    """A connection whose broker has a certificate that ends after so many days."""

    def __init__(self, days: float | None) -> None:
        self._days = days

    def getpeercert(self) -> dict[str, Any] | None:
        if self._days is None:
            return None  # it was not verified
        last = datetime.now(UTC) + timedelta(days=self._days)
        return {"notAfter": f"{last:%b %d %H:%M:%S %Y GMT}"}

    def version(self) -> str:
        return "TLSv1.3"


@pytest.mark.parametrize("days", [None, 14.1, 400])
def test_a_certificate_that_lasts_is_no_doubt(days: float | None) -> None:
    secured: Any = Secured(days)
    see_that_it_lasts(secured, "b:1")


def test_a_certificate_that_expires_within_two_weeks_is_one() -> None:
    secured: Any = Secured(13.9)
    with pytest.raises(StepDoubtful, match=r"TLSv1.3; the certificate of b:1 expires on"):
        see_that_it_lasts(secured, "b:1")
    assert issubclass(StepDoubtful, StepFailed)
