"""Explains why a TLS handshake failed, and how to fix it."""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from cryptography import x509

from ingestion.connectors.connection_trial import TIMEOUT, StepDoubtful, StepFailed

#: A trial warns about a broker's certificate that expires within this time.
SOON = timedelta(days=14)
#: OpenSSL's codes (openssl/x509_vfy.h).
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNKNOWN_ISSUER = {2, 18, 19, 20, 21}
_WRONG_NAME = {62, 64}
#: TLS alerts by which a broker rejects our client certificate, or asks for one.
_ALERTS = (
    "CERTIFICATE_REQUIRED",
    "BAD_CERTIFICATE",
    "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REVOKED",
    "UNKNOWN_CA",
    "HANDSHAKE_FAILURE",
    "ACCESS_DENIED",
)


def failure(error: Exception, host: str, port: int, has_certificate: bool) -> StepFailed:
    """The StepFailed that explains ``error`` to the user."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _unverified(error, host, port)
    where, reason = f"{host}:{port}", str(getattr(error, "reason", "") or "")
    if any(alert in reason for alert in _ALERTS):
        return _refused(where, reason, has_certificate)
    if isinstance(error, TimeoutError):
        said = f"{where} did not answer the TLS handshake within {TIMEOUT:.0f} s."
        return StepFailed(said, "Use the port of the broker's TLS listener, or turn TLS off.")
    if _is_no_tls(error, reason):
        mend = "Use the port of the broker's TLS listener, or turn TLS off for this connection."
        return StepFailed(f"{where} does not speak TLS.", mend)
    said = f"The TLS handshake with {where} failed: {reason.replace('_', ' ').lower() or error}."
    return StepFailed(said, "Make sure that broker and machine share a TLS version and ciphers.")


def see_that_it_lasts(secured: ssl.SSLSocket, where: str) -> None:
    """Raise StepDoubtful if the broker's certificate expires soon."""
    certificate = secured.getpeercert() or {}  # empty if it is not verified
    if "notAfter" not in certificate:
        return
    last = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    if last - datetime.now(UTC) < SOON:
        said = f"{secured.version()}; the certificate of {where} expires on {last:%Y-%m-%d}."
        raise StepDoubtful(said, "Renew the broker's certificate before that day.")


def hung_up(error: OSError, where: str, has_certificate: bool) -> StepFailed:
    """The handshake succeeded and the broker then hung up.

    With TLS 1.3 a broker rejects a client certificate only after the handshake.
    """
    reason = str(getattr(error, "reason", "") or "")
    if any(alert in reason for alert in _ALERTS):
        return _refused(where, reason, has_certificate)
    if isinstance(error, TimeoutError):
        said = f"{where} speaks TLS but did not answer within {TIMEOUT:.0f} s."
        return StepFailed(said, "Correct the port: another service may listen there.")
    what = "refuses the client certificate" if has_certificate else "asks for a client certificate"
    said = f"{where} hangs up after the TLS handshake. Most likely it {what}."
    return StepFailed(said, "Enter a client certificate signed by a CA that the broker trusts.")


def _is_no_tls(error: Exception, reason: str) -> bool:
    broken = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)
    words = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF", "PACKET_LENGTH")
    return isinstance(error, broken) or any(word in reason for word in words)


def _refused(where: str, reason: str, has_certificate: bool) -> StepFailed:
    if not has_certificate:
        said = f"{where} asks for a client certificate, and this connection has none."
        return StepFailed(said, "Enter the client certificate and its key.")
    alert = reason.partition("ALERT_")[2].replace("_", " ").lower()
    said = f"{where} refuses the client certificate ({alert})."
    mend = "Enter one that has not expired and is signed by a CA that the broker trusts."
    return StepFailed(said, mend)


def _unverified(error: ssl.SSLCertVerificationError, host: str, port: int) -> StepFailed:
    found = _certificate(host, port)
    where, code = f"{host}:{port}", error.verify_code
    if code == _EXPIRED:
        since = f" on {found.not_valid_after_utc:%Y-%m-%d}" if found else ""
        said = f"The certificate of {where} expired{since} (today is {datetime.now(UTC):%Y-%m-%d})."
        return StepFailed(said, "Renew the broker's certificate, or correct this machine's clock.")
    if code == _NOT_YET_VALID:
        said = f"The certificate of {where} is not valid yet."
        mend = "Correct this machine's clock, or issue a certificate that is valid already."
        return StepFailed(said, mend)
    if code in _WRONG_NAME:
        names = _names(found) if found else "another name"
        said = f"The certificate of {where} is for {names}, not for {host}."
        mend = "Use a name from the certificate as the address, or issue one for this name."
        return StepFailed(said, mend)
    if code in _UNKNOWN_ISSUER:
        issuer = f" by {_short(found.issuer)!r}" if found else ""
        said = (
            f"The certificate of {where} is signed{issuer}, which this connection does not trust."
        )
        return StepFailed(said, "Enter the certificate of that CA as the CA certificate.")
    said = f"The certificate of {where} is not accepted: {error.verify_message}."
    return StepFailed(
        said, "Give the broker a valid certificate, or enter the right CA certificate."
    )


def _certificate(host: str, port: int) -> x509.Certificate | None:
    """The server's certificate, to read its names and dates; sends no application data."""
    with suppress(OSError, ValueError):
        text = ssl.get_server_certificate((host, port), timeout=TIMEOUT)
        return x509.load_pem_x509_certificate(text.encode())
    return None


def _names(certificate: x509.Certificate) -> str:
    with suppress(x509.ExtensionNotFound, ValueError):
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = [str(one.value) for one in found.value]
        if names:
            more = ", …" if len(names) > 5 else ""
            return ", ".join(names[:5]) + more
    return _short(certificate.subject)


def _short(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()
