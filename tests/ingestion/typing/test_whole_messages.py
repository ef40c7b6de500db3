"""Messages that are odd as a whole, from Kafka to the table or to the quarantine."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable
from typing import Any

import pytest

from ingestion.consume.loop import Slice
from ingestion.models import Table
from tenants.models import Tenant
from tenants.warehouse import client

COLUMNS = [
    {"name": "id", "type": "UInt32", "path": "user.id"},
    {"name": "s", "type": "String", "required": False, "default": '""'},
    {"name": "tags", "type": "Array(String)", "required": False, "default": "[]"},
    {"name": "prices", "type": "Array(Decimal(38, 20))", "required": False, "default": "[]"},
    {"name": "deep", "type": "Nullable(String)", "path": "a.b.c", "required": False},
]
MEGABYTES = 10_000_000
LONG = "0.12345678901234567890"

#: What lands, by how much of each column: id, s, length of tags, of prices, deep.
FITS: dict[bytes, tuple[Any, ...]] = {
    b'{"user":{"id":1}}': (1, "", 0, 0, None),
    b' \t\r\n{ "user" : { "id" : 1 } } \n': (1, "", 0, 0, None),
    b'{"user":{"id":2},"s":"a\\u0000b\\n\\"\\\\\\/"}': (2, 'a\0b\n"\\/', 0, 0, None),
    b'{"user":{"id":1},"user":{"id":2},"s":"x","s":"y"}': (1, "x", 0, 0, None),
    b'{"\\u0075ser":{"i\\u0064":3},"\\u0073":"\\ud83d\\ude00"}': (
        3,
        "\N{GRINNING FACE}",
        0,
        0,
        None,
    ),
    b'{"user":{"id":4},"User":{"id":"x"},"id":"x","user.id":5}': (4, "", 0, 0, None),
    b'{"user":{"id":5},"x":' + b"[" * 900 + b"]" * 900 + b"}": (5, "", 0, 0, None),
    b'{"user":{"id":6},"a":null}': (6, "", 0, 0, None),
    b'{"user":{"id":6},"a":{"b":{"c":"d"},"b":5}}': (6, "", 0, 0, "d"),
    b'{"user":{"id":7},"s":"' + b"a" * MEGABYTES + b'"}': (7, "a" * MEGABYTES, 0, 0, None),
    b'{"user":{"id":8},"tags":[' + b'"abcdef",' * 1_000_000 + b'"a"]}': (8, "", 1_000_001, 0, None),
    b'{"user":{"id":9},"prices":[%s]}' % b",".join([LONG.encode()] * 400_000): (
        *(9, "", 0, 400_000, None),
    ),
}
#: Reason and column of what is in quarantine.
MISFITS: dict[bytes | None, tuple[str, str]] = {
    None: ("invalid_json", ""),
    b"": ("invalid_json", ""),
    b"   ": ("invalid_json", ""),
    b"[1]": ("not_an_object", ""),
    b'[{"user":{"id":1}}]': ("not_an_object", ""),
    b"7": ("not_an_object", ""),
    b'"user"': ("not_an_object", ""),
    b"null": ("not_an_object", ""),
    b"true": ("not_an_object", ""),
    b"{}": ("missing", "id"),
    b'{"user":{"id":1}} {"user":{"id":2}}': ("invalid_json", ""),
    b'\xef\xbb\xbf{"user":{"id":1}}': ("invalid_json", ""),
    b'{"user":{"id":1},"s":"a\0b"}': ("invalid_json", ""),
    b'{"user":{"id":1},"s":"\\ud800"}': ("invalid_json", ""),
    b'{"user":{"id":1},"s":"\xc3\x28"}': ("invalid_utf8", ""),
    b'{"user":{"id":1},"x":"\xed\xa0\x80"}': ("invalid_utf8", ""),
    b'{"\xff":1,"user":{"id":1}}': ("invalid_utf8", ""),
    b"\xfe\xff\x00{": ("invalid_utf8", ""),
    b'{"user":7}': ("wrong_type", "user"),
    b'{"user":[5]}': ("wrong_type", "user"),
    b'{"user":"x"}': ("wrong_type", "user"),
    b'{"user":null}': ("missing", "id"),
    b'{"user":{"id":{}}}': ("wrong_type", "id"),
    b'{"user":{"id":1},"a":5}': ("wrong_type", "a"),
    b'{"user":{"id":1},"a":{"b":[["c"]]}}': ("wrong_type", "a.b"),
    b'{"user":{"id":1},"s":["' + b"a" * MEGABYTES + b'"]}': ("wrong_type", "s"),
    b"[" * 10_000 + b"]" * 10_000: ("invalid_json", ""),
    b'{"user":' * 10_000 + b"1" + b"}" * 10_000: ("invalid_json", ""),
    b'{"user":{"id":1},"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}": ("invalid_json", ""),
    b"no JSON " * (MEGABYTES // 8): ("invalid_json", ""),
}


def md5(message: bytes) -> str:
    return hashlib.md5(message, usedforsecurity=False).hexdigest()


@pytest.mark.slow
def test_odd_messages_land_whole_or_are_in_quarantine_byte_for_byte(
    topic: Callable[..., Any],
    tenant_factory: Callable[..., Tenant],
    table_factory: Callable[..., Table],
) -> None:
    table = table_factory(tenant_factory(), COLUMNS)
    stream = topic(max_message_bytes=str(MEGABYTES + 1_000_000))
    source, database = stream.source(table, quarantine_limit=0), table.tenant.warehouse.database
    messages = [*FITS, *MISFITS]
    stream.send(messages)
    rows = 0
    while rows < len(messages):
        consumed = Slice(source.connection_id, seconds=3)
        consumed.run()
        rows += consumed.rows
    landed = client.rows(
        "SELECT id, s, length(tags) AS tags_length, length(prices) AS prices_length, deep, "
        f"arrayDistinct(prices) AS price FROM {database}.events ORDER BY _offset"
    )
    found = [tuple(row.values())[:5] for row in landed]
    assert [one[0] for one in found] == [one[0] for one in FITS.values()]
    assert all(map(operator.eq, found, FITS.values()))  # its difference would be megabytes long
    assert [str(one) for one in landed[-1]["price"]] == [LONG]
    misfits = client.rows(
        "SELECT reason, column, lower(hex(MD5(raw))) AS raw "
        f"FROM {database}.events__quarantine ORDER BY _offset"
    )
    wanted = [(*told, md5(message or b"")) for message, told in MISFITS.items()]
    assert [tuple(row.values()) for row in misfits] == wanted


@pytest.mark.slow
def test_the_quarantine_shows_a_number_as_it_was_written(
    topic: Callable[..., Any],
    tenant_factory: Callable[..., Tenant],
    table_factory: Callable[..., Table],
) -> None:
    columns = [{"name": "n", "type": "UInt8"}, {"name": "d", "type": "Decimal(38, 20)"}]
    table, stream = table_factory(tenant_factory(), columns), topic()
    source, database = stream.source(table, quarantine_limit=0), table.tenant.warehouse.database
    shown = ["0.99999999999999999999", "123456789012345678901234567890", "1e-400", '"7"', "[1,2]"]
    stream.send([json.dumps({"d": 1})[:-1].encode() + f', "n": {one}}}'.encode() for one in shown])
    Slice(source.connection_id, seconds=3).run()
    found = client.rows(f"SELECT value FROM {database}.events__quarantine ORDER BY _offset")
    assert [row["value"] for row in found] == shown
