"""The SSLContext of a connection: it always verifies, and leaves no key on disk."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import Any

import pytest
from secured_brokers.certificates import Authority, Pair

from ingestion.connectors import tls
from ingestion.errors import Refused
from ingestion.models import Connection


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("Our CA")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.client("reader")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def connection(**fields: Any) -> Connection:
    return Connection(name="k", kind="kafka", addresses="b:1", **fields)


def names(context: ssl.SSLContext) -> list[Any]:
    return [one["subject"] for one in context.get_ca_certs()]


def test_certificate_and_name_of_the_broker_are_verified() -> None:
    made = tls.context(connection())
    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_ca_of_the_connection_is_trusted_alone(authority: Authority) -> None:
    made = tls.context(connection(ca_certificate=authority.certificate))
    assert names(made) == [((("commonName", "Our CA"),),)]


def test_a_client_certificate_is_read_and_its_key_does_not_stay_on_disk(
    pair: Pair, folder: Path
) -> None:
    tls.context(connection(client_certificate=f"\n{pair.certificate}", client_key=pair.key))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("fault", ["ca", "certificate", "key"])
def test_certificates_that_can_not_be_used_are_refused_and_leave_nothing(
    fault: str, pair: Pair, folder: Path
) -> None:
    fields = {"client_certificate": pair.certificate, "client_key": pair.key}
    broken = {
        "ca": {"ca_certificate": "none"},
        "certificate": fields | {"client_certificate": "none"},
        "key": fields | {"client_key": Authority("Other").client("other").key},
    }[fault]
    with pytest.raises(Refused, match=r"certificates of the connection shared\.k can't be used"):
        tls.context(connection(**broken))
    assert list(folder.iterdir()) == []
