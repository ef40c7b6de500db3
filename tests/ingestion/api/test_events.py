"""The events endpoint: what it takes, what it refuses, and that nothing taken is lost."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import zstandard
from django.db import connection
from django.http.request import UnreadablePostError
from django.test import Client
from django.utils import timezone

from ingestion.api import views
from ingestion.api.body import decoded
from ingestion.consume.loop import Slice
from ingestion.models import EventsReceipt, Source, SpooledEvents, StreamPartition, Table
from ingestion.provision import provision_table
from ingestion.services import events as spool
from ingestion.services import sources
from tenants.models import Tenant
from tenants.rest.problem import Problem
from tenants.services.keys import create_key
from tenants.warehouse import client as warehouse
from tenants.warehouse.errors import WarehouseUnreachable

NDJSON = "application/x-ndjson"


@pytest.fixture
def source(table: Table) -> Source:
    return Source.objects.create(tenant=table.tenant, name="events", table=table)


@pytest.fixture
def send(source: Source) -> Callable[..., Any]:
    _, key = create_key(source.tenant, "test")

    def post(body: bytes | str, name: str = "events", **options: Any) -> Any:
        headers = {
            "Authorization": f"Bearer {options.pop('key', key)}",
            **options.pop("headers", {}),
        }
        return Client(raise_request_exception=False).post(
            f"/api/v1/events/{name}{options.pop('query', '')}",
            data=body,
            content_type=options.pop("content_type", NDJSON),
            headers=headers,
        )

    return post


def landed(source: Source) -> list[int]:
    Slice(None, seconds=0.8).run()
    database = source.tenant.warehouse.database
    return [r["n"] for r in warehouse.rows(f"SELECT n FROM {database}.events ORDER BY _offset")]


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b'{"n": 1}', 1),
        (b'{"n": 1}\n{"n": 2}\n', 2),
        (b'\n\n{"n": 1}\r\n\r\n{"n": 2}', 2),
        (b'[{"n": 1}, {"n": 2}, {"n": 3}]', 3),
        (b'  [\n {"n": 1}\n]\n', 1),
        (b'{\n  "n": 1,\n  "s": "a"\n}', 1),
        ('{"n": 1, "s": "ü€\\n"}'.encode(), 1),
    ],
)
def test_every_form_of_a_body_is_taken_and_lands(
    body: bytes, count: int, send: Callable[..., Any], source: Source
) -> None:
    answer = send(body)
    assert answer.status_code == 202, answer.content
    assert answer.json() == {
        "accepted": count,
        "first_offset": 0,
        "last_offset": count - 1,
        "queryable": False,
    }
    assert landed(source) == list(range(1, count + 1))
    assert not SpooledEvents.objects.exists()
    assert StreamPartition.objects.get().spooled_bytes == 0


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("gzip", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
        ("zstd", zstandard.compress),
        ("ZSTD", lambda body: zstandard.compress(body[:9]) + zstandard.compress(body[9:])),
    ],
)
def test_compressed_bodies_are_taken(
    encoding: str, compress: Callable[[bytes], bytes], send: Callable[..., Any], source: Source
) -> None:
    body = b'{"n": 1}\n{"n": 2}\n'
    answer = send(compress(body), headers={"Content-Encoding": encoding})
    assert answer.status_code == 202, answer.content
    assert landed(source) == [1, 2]


def unfinished(body: bytes) -> bytes:
    """As a sender leaves it that died after a flush: whole blocks, and a frame without its end."""
    frame = zstandard.ZstdCompressor().compressobj()
    return frame.compress(body) + frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("zstd", unfinished(b'{"n": 1}\n' * 600)),
        ("zstd", zstandard.compress(b'{"n": 1}\n') + unfinished(b'{"n": 2}\n')),
        ("zstd", zstandard.compress(b'{"n": 1}\n')[:-1]),
        ("zstd", zstandard.compress(b'{"n": 1}\n') + b"\x28\xb5"),
        ("gzip", gzip.compress(b'{"n": 1}\n', mtime=0) + gzip.compress(b"{}\n", mtime=0)[:-1]),
        ("gzip", gzip.compress(b'{"n": 1}\n', mtime=0) + b"\x1f"),
    ],
)
def test_a_compressed_body_that_is_cut_short_is_refused_whole(
    encoding: str, packed: bytes, send: Callable[..., Any]
) -> None:
    answer = send(packed, headers={"Content-Encoding": encoding})
    assert (answer.status_code, answer.json()["code"]) == (400, "body_unreadable")
    assert "truncated" in answer.json()["detail"]
    assert not SpooledEvents.objects.exists()


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_compressed_body_is_refused_wherever_it_is_cut(pack: Callable[[bytes], bytes]) -> None:
    encoding = "gzip" if pack is gzip.compress else "zstd"
    packed = pack(b"".join(b'{"n": %d}\n' % n for n in range(300)))
    for end in range(1, len(packed)):
        with pytest.raises(Problem, match="truncated"):
            decoded(io.BytesIO(packed[:end]), encoding, 1 << 20)
    with pytest.raises(Problem, match="is not"):
        decoded(io.BytesIO(packed + b"more"), encoding, 1 << 20)
    broken = bytearray(packed)
    broken[-2] ^= 1
    with pytest.raises(Problem):
        decoded(io.BytesIO(bytes(broken)), encoding, 1 << 20)


def test_a_sender_that_goes_away_is_not_told_that_its_body_is_wrong() -> None:
    class Gone(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise UnreadablePostError("gone")

    with pytest.raises(UnreadablePostError):
        decoded(Gone(), "zstd", 100)


def test_events_stay_the_bytes_that_were_sent(send: Callable[..., Any], source: Source) -> None:
    event = b'{"n": 7,   "x": 1.10, "big": 123456789012345678901234567890, "n2": -0.0}'
    send(event)
    stored = SpooledEvents.objects.get()
    assert zstandard.decompress(bytes(stored.body)) == event


def test_offsets_follow_each_other(send: Callable[..., Any]) -> None:
    assert send(b'{"n": 1}\n{"n": 2}').json()["last_offset"] == 1
    assert send(b'{"n": 3}').json()["first_offset"] == 2


def test_a_bad_line_is_named_and_nothing_is_stored(send: Callable[..., Any]) -> None:
    answer = send(b'{"n": 1}\n{"n": \n[1]\n"text"\n{"n": 2}\n\xff\n')
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "events_invalid"
    assert [one["line"] for one in problem["errors"]] == [2, 3, 4, 6]
    assert "an array, not an object" in problem["errors"][1]["message"]
    assert "UTF-8" in problem["errors"][3]["message"]
    assert problem["error_count"] == 4
    assert "Nothing was stored" in problem["detail"]
    assert not SpooledEvents.objects.exists()


def test_a_hundred_errors_are_shown_of_many(send: Callable[..., Any]) -> None:
    problem = send(b"no\n" * 250).json()
    assert problem["error_count"] == 250
    assert len(problem["errors"]) == 100


@pytest.mark.parametrize(
    ("body", "options", "status", "code"),
    [
        (b"", {}, 400, "no_events"),
        (b" \n\n", {}, 400, "no_events"),
        (b"[]", {}, 400, "no_events"),
        (b"[1, 2]", {}, 400, "events_invalid"),
        (b'[{"n": 1}', {}, 400, "body_unreadable"),
        (b'[{"n": 1}] x', {}, 400, "body_unreadable"),
        (b"[" * 100_000, {}, 400, "body_unreadable"),
        (b'{"a":' * 100_000, {}, 400, "events_invalid"),
        (b"not gzip", {"headers": {"Content-Encoding": "gzip"}}, 400, "body_unreadable"),
        (
            gzip.compress(b"{}" * 99, mtime=0)[:-9],
            {"headers": {"Content-Encoding": "gzip"}},
            400,
            "body_unr",
        ),
        (b"{}", {"headers": {"Content-Encoding": "br"}}, 415, "encoding_unknown"),
        (b'{"n": 1}', {"query": "?wait=maybe"}, 400, "parameter_invalid"),
        (b'{"n": 1}', {"query": "?wiat=true"}, 400, "unknown_parameter"),
        (b'{"n": 1}', {"query": "?wait=false&wait=true"}, 400, "doubled_parameter"),
        (b'{"n": 1}', {"name": "nothing"}, 404, "not_found"),
        (b'{"n": 1}', {"key": "mr_wrong"}, 401, "key_invalid"),
    ],
)
def test_what_can_not_be_taken_is_refused_clearly(
    body: bytes, options: dict[str, Any], status: int, code: str, send: Callable[..., Any]
) -> None:
    answer = send(body, **options)
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"].startswith(code)
    assert answer.json()["status"] == status
    assert not SpooledEvents.objects.exists()


def test_a_body_may_have_its_limit_and_no_more(send: Callable[..., Any], settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    event = b'{"n": 1, "s": "%s"}'
    fits = event % (b"x" * (1000 - len(event) + 2))
    assert len(fits) == 1000
    assert send(fits).status_code == 202
    answer = send(fits + b" ")
    assert (answer.status_code, answer.json()["limit"]) == (413, 1000)
    bomb = send(gzip.compress(b" " * 10_000_000), headers={"Content-Encoding": "gzip"})
    assert bomb.status_code == 413
    bomb = send(zstandard.compress(b" " * 10_000_000), headers={"Content-Encoding": "zstd"})
    assert bomb.status_code == 413


def test_who_sends_faster_than_the_table_takes_is_told_to_wait(
    send: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    monkeypatch.setattr(spool, "WAITING_EVENTS", 3)
    assert send(b'{"n": 1}\n{"n": 2}\n{"n": 3}').status_code == 202
    answer = send(b'{"n": 4}')
    assert answer.status_code == 429
    assert answer["Retry-After"] == "5"
    assert answer.json()["code"] == "spool_full"
    assert landed(source) == [1, 2, 3]
    assert send(b'{"n": 4}').status_code == 202


def test_a_wait_that_takes_too_long_answers_202(
    send: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "WAIT", 0.1)
    answer = send(b'{"n": 1}', query="?wait=true")
    assert (answer.status_code, answer.json()["queryable"]) == (202, False)


@pytest.fixture
def waits(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice runs where the endpoint would wait for one."""

    def land(accepted: spool.Accepted, seconds: float) -> bool:
        Slice(None, seconds=0.8).run()
        return spool.wait(accepted, seconds)

    monkeypatch.setattr(views, "wait", land)


MIXED = [b'{"n": 1}', b'{"n": -5}', b'{"s": "x"}', b'{"n": 2}']
REFUSED = [
    {"offset": 1, "reason": "out_of_range", "column": "n", "expected": "UInt32", "value": "-5"},
    {"offset": 2, "reason": "missing", "column": "n", "expected": "UInt32", "value": ""},
]


def test_a_sender_that_waits_is_told_what_was_filtered(
    source: Source, send: Callable[..., Any], waits: None
) -> None:
    source.filter = "n != 2"
    source.save()
    sources.request_filter(source)
    provision_table(source.table)
    answer = send(b"\n".join(MIXED), query="?wait=true").json()
    assert (answer["landed"], answer["quarantined"], answer["filtered"]) == (1, 2, 1)
    answer = send(b'{"n": 2}', query="?wait=true").json()
    assert (answer["queryable"], answer["landed"], answer["filtered"]) == (False, 0, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"\n".join(MIXED), [2, 3]),
        (b"\n\n" + b"\r\n \n".join(MIXED), [5, 7]),
        (b"[" + b",\n\n".join(MIXED) + b"]", [2, 3]),
    ],
)
def test_a_sender_that_waits_is_told_what_landed_and_what_did_not_fit(
    body: bytes, lines: list[int], send: Callable[..., Any], waits: None
) -> None:
    answer = send(body, query="?wait=true", headers={"Idempotency-Key": "a"})
    expected = {
        "accepted": 4,
        "first_offset": 0,
        "last_offset": 3,
        "queryable": False,
        "landed": 2,
        "quarantined": 2,
        "filtered": 0,
        "quarantine": [{"line": line, **one} for line, one in zip(lines, REFUSED, strict=True)],
    }
    assert (answer.status_code, answer.json()) == (200, expected)
    again = send(body, query="?wait=true", headers={"Idempotency-Key": "a"})
    assert (again["Idempotent-Replayed"], again.json()) == ("true", expected)
    # What came before and after is not told.
    answer = send(b'{"n": 7}', query="?wait=true").json()
    assert (answer["queryable"], answer["landed"], answer["quarantine"]) == (True, 1, [])
    answer = send(b'\n{\n"n": -1\n}', query="?wait=true").json()
    assert (answer["quarantined"], answer["quarantine"][0]["line"]) == (1, 2)


def test_a_hundred_misfits_are_shown_of_many(send: Callable[..., Any], waits: None) -> None:
    answer = send(b'{"n": -1}\n' * 250 + b'{"n": 1}', query="?wait=true").json()
    assert (answer["landed"], answer["quarantined"], len(answer["quarantine"])) == (1, 250, 100)


def test_where_the_quarantine_can_not_be_asked_nothing_is_claimed(
    send: Callable[..., Any], waits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise WarehouseUnreachable("no answer")

    monkeypatch.setattr(views, "within", away)
    answer = send(b'{"n": -1}', query="?wait=true")
    assert (answer.status_code, answer.json()["queryable"]) == (202, False)
    assert "landed" not in answer.json()


def test_a_paused_source_takes_events_and_lands_them_later(
    send: Callable[..., Any], source: Source
) -> None:
    Source.objects.update(active=False)
    assert send(b'{"n": 1}').status_code == 202
    assert landed(source) == []
    Source.objects.update(active=True)
    assert landed(source) == [1]


def test_a_source_with_a_broker_takes_no_events_here(
    send: Callable[..., Any], source: Source, topic: Callable[..., Any]
) -> None:
    made = topic().source(source.table, name="kafka")
    answer = send(b'{"n": 1}', name=made.name)
    assert answer.status_code == 409
    assert answer.json()["code"] == "source_has_broker"


def test_a_key_that_may_only_query_sends_nothing(send: Callable[..., Any], source: Source) -> None:
    _, key = create_key(source.tenant, "reader", scopes=["queries:run"])
    answer = send(b'{"n": 1}', key=key)
    assert (answer.status_code, answer.json()["scope"]) == (403, "events:write")


@pytest.mark.security
def test_another_tenants_source_is_as_unknown_as_one_that_is_not(
    send: Callable[..., Any], tenant_factory: Callable[..., Tenant]
) -> None:
    _, key = create_key(tenant_factory("other"), "x")
    there, nowhere = send(b'{"n": 1}', key=key), send(b'{"n": 1}', key=key, name="nothing")
    assert there.status_code == nowhere.status_code == 404
    assert there.content.replace(b"events", b"nothing") == nowhere.content
    assert not SpooledEvents.objects.exists()


def test_misfits_of_the_table_go_to_the_quarantine_and_not_to_the_sender(
    send: Callable[..., Any], source: Source
) -> None:
    assert send(b'{"n": -5}\n{"n": 1}').status_code == 202
    assert landed(source) == [1]
    database = source.tenant.warehouse.database
    held = warehouse.rows(f"SELECT raw, column FROM {database}.events__quarantine")
    assert held == [{"raw": '{"n": -5}', "column": "n"}]


def test_get_is_not_allowed(send: Callable[..., Any], source: Source) -> None:
    _, key = create_key(source.tenant, "x")
    answer = Client().get("/api/v1/events/events", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 405
    assert json.loads(answer.content)["status"] == 405


# --- Idempotency-Key --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_request_repeated_under_its_key_counts_once(
    send: Callable[..., Any], source: Source
) -> None:
    first = send(b'{"n": 1}\n{"n": 2}', headers={"Idempotency-Key": '"order-7"'})
    assert first.status_code == 202
    assert "Idempotent-Replayed" not in first
    assert landed(source) == [1, 2]
    again = send(
        gzip.compress(b'{"n": 1}\n{"n": 2}'),
        headers={"Idempotency-Key": "order-7", "Content-Encoding": "gzip"},
    )
    assert (again.status_code, again.json()) == (202, first.json())
    assert again["Idempotent-Replayed"] == "true"
    assert send(b'{"n": 3}', headers={"Idempotency-Key": "order-8"}).json()["first_offset"] == 2
    assert landed(source) == [1, 2, 3]


def test_a_repeated_request_is_answered_though_the_spool_is_full(
    send: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "WAITING_EVENTS", 1)
    assert send(b'{"n": 1}', headers={"Idempotency-Key": "a"}).status_code == 202
    assert send(b'{"n": 2}', headers={"Idempotency-Key": "b"}).status_code == 429
    assert send(b'{"n": 1}', headers={"Idempotency-Key": "a"}).status_code == 202


def test_a_key_used_for_other_events_is_refused(send: Callable[..., Any]) -> None:
    send(b'{"n": 1}', headers={"Idempotency-Key": "a"})
    answer = send(b'{"n": 2}', headers={"Idempotency-Key": "a"})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert SpooledEvents.objects.count() == 1


@pytest.mark.parametrize("key", ['""', " ", "x" * 201, "ü", "a\tb"])
def test_a_key_that_is_none_is_refused(key: str, send: Callable[..., Any]) -> None:
    answer = send(b'{"n": 1}', headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_invalid")
    assert not SpooledEvents.objects.exists()


def test_keys_of_two_sources_have_nothing_to_do_with_each_other(
    send: Callable[..., Any], source: Source
) -> None:
    Source.objects.create(tenant=source.tenant, name="other", table=source.table)
    for name in ("events", "other"):
        answer = send(b'{"n": 1}', name=name, headers={"Idempotency-Key": "a"})
        assert "Idempotent-Replayed" not in answer
    assert SpooledEvents.objects.count() == 2


def test_receipts_are_forgotten_after_a_day(send: Callable[..., Any]) -> None:
    send(b'{"n": 1}', headers={"Idempotency-Key": "a"})
    assert spool.forget_receipts() == 0
    EventsReceipt.objects.update(received_at=timezone.now() - spool.RECEIPTS_KEPT)
    assert spool.forget_receipts() == 1
    assert "Idempotent-Replayed" not in send(b'{"n": 1}', headers={"Idempotency-Key": "a"})


def test_repeats_that_come_at_once_count_once(
    transactional_db: None, unique: Callable[[str], str]
) -> None:
    tenant = Tenant.objects.create(slug=unique("acme"), name="Acme")
    table = Table.objects.create(tenant=tenant, name="t")
    source = Source.objects.create(tenant=tenant, name="events", table=table)

    def send_one(_: int) -> int:
        try:
            return spool.accept(source, [b'{"n": 1}'], "same").first_offset
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send_one, range(32))) == {0}
    assert SpooledEvents.objects.count() == 1
