"""Values of parameters, held to the rules of columns: they arrive as they were sent, or not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from analytics_api.parameters import Misfit, TypeRefused, bind, load, parse, values
from analytics_api.query_client import Account, QueryCall, ask
from tenants import exact_json
from tenants.models import Tenant
from tests.ingestion.ddl import cases

#: Of an address all is text, and a body may have the same: numbers in quotes are taken.
_TEXT_OF_A_NUMBER = re.compile(r'.*"(?:-?[0-9.]+|true|false)"[]}]?\Z')

#: Beside those of columns: type -> JSON -> how ClickHouse writes the value.
FITS: dict[str, dict[str, str]] = {
    "UInt8": {'"7"': "7", '"7.0"': "7", '"7e0"': "7"},
    "Decimal(18, 2)": {
        "9007199254740993.11": "9007199254740993.11",
        '"9007199254740993.11"': "9007199254740993.11",
        "0.10": "0.1",
        "-0.0": "0",
    },
    "Decimal(76, 10)": {
        f"{'9' * 66}.0123456789": f"{'9' * 66}.0123456789",
        "1e65": "1" + "0" * 65,
    },
    "Float64": {'"-0"': "0", '"-0.0"': "-0", "5e-324": "5e-324"},
    "Float32": {"3.4028234663852886e38": "3.4028235e38"},
    "DateTime": {
        "0": "1970-01-01 00:00:00",
        "12": "1970-01-01 00:00:12",
        '"2106-02-07 06:28:15"': "2106-02-07 06:28:15",
    },
    "DateTime('Europe/Zurich')": {
        '"2026-10-25T02:30:00"': "2026-10-25 02:30:00",
        '"2026-03-29T03:00:00"': "2026-03-29 03:00:00",
    },
    "DateTime64(3)": {
        '"1969-12-31T23:59:58.500Z"': "1969-12-31 23:59:58.500",
        '"2026-01-01T10:00:00.1230000"': "2026-01-01 10:00:00.123",
        '"2299-12-31 23:59:59.999"': "2299-12-31 23:59:59.999",
    },
    "DateTime64(0)": {"-1": "1969-12-31 23:59:59"},
    "Array(DateTime64(3))": {
        '["1969-12-31T23:59:58.500Z", 7]': ("['1969-12-31 23:59:58.500','1970-01-01 00:00:07.000']")
    },
    "Array(Nullable(Decimal(30, 20)))": {
        "[0.12345678901234567891, null]": "[0.12345678901234567891,NULL]"
    },
    "Tuple(UInt8, String)": {'[1, "it\'s"]': "(1,'it\\'s')", '"[1, \\"a\\"]"': "(1,'a')"},
    "Tuple(a UInt8, b Nullable(Date))": {
        '{"b": null, "a": 1}': "(1,NULL)",
        '[1, "2026-01-31"]': "(1,'2026-01-31')",
    },
    "Array(Tuple(String, Float64))": {'[["a\\n\\t", 1.5], ["b", 2]]': "[('a\\n\\t',1.5),('b',2)]"},
    "Map(String, Tuple(UInt8, UInt8))": {'{"a": [1, 2]}': "{'a':(1,2)}"},
}

#: Type -> JSON -> what the refusal says.
MISFITS: dict[str, dict[str, str]] = {
    "UInt8": {'"007"': "whole number", '"+7"': "whole number", "7.5": "fraction", "true": ""},
    "Int64": {"1e400": "out of range", "1e999999": "out of range", "1e-999999": "fraction"},
    "Float32": {"1e39": "out of range", "3.41e38": "out of range"},
    "Float64": {"1e309": "out of range", '"nan"': "", '"inf"': ""},
    "Decimal(18, 2)": {"0.001": "3 digits after the point, but only 2 fit", "1e16": "out of range"},
    "Bool": {"1": "", '"1"': "", '"TRUE"': ""},
    "String": {"7": "", "null": ""},
    "FixedString(3)": {'"ab"': "2 bytes", '"abcd"': "4 bytes", '"äöü"': "6 bytes"},
    "Date": {'"2026-02-29"': "", '"20260101"': "", '"2149-06-07"': "out of range"},
    "DateTime": {
        '"2026-01-31"': "YYYY-MM-DD hh:mm:ss",
        '"20260131T100000"': "",
        '"2026-W05-6"': "",
        '"2106-02-07 06:28:16"': "out of range",
        '"2026-01-01 10:00:00.5"': "1 fractional digits of a second, but only 0 fit",
        "1.5": "1 fractional digits of a second, but only 0 fit",
    },
    "DateTime('Europe/Zurich')": {'"2026-03-29T02:30:00"': "skip"},
    "DateTime64(3)": {
        '"2026-01-01 10:00:00.9999"': "4 fractional digits of a second, but only 3 fit",
        "1700000000.1234": "4 fractional digits of a second, but only 3 fit",
        '"2026-01-01 10:00:00 "': "",
        '"2026-01-01 24:00:00"': "",
    },
    "DateTime64(9)": {'"2263-01-01 00:00:00"': "out of range"},
    "UUID": {
        '"61f0c404-5cb311e7-907b-a6006ad3-dba0"': "",
        '"{61f0c4045cb311e7907ba6006ad3dba0}xx"': "",
    },
    "Tuple(UInt8, String)": {"[1]": "an array of 2", "[1, 2]": "text", '{"a": 1}': "", "null": ""},
    "Tuple(a UInt8, b String)": {'{"a": 1}': "members must be a, b"},
    "Array(UInt8)": {'{"0": 1}': "", "[1, 1, 256]": "out of range"},
    "Map(String, UInt8)": {'"{\\"a\\": 1, \\"a\\": 2}"': "twice"},
}


@pytest.fixture
def shown(tenant_factory: Callable[..., Tenant]) -> Callable[[str, str], str]:
    """What ClickHouse, asked as the tenant, makes of an encoded value."""
    warehouse = tenant_factory().warehouse
    account = Account(warehouse.database, warehouse.username, warehouse.password)

    def ask_for(kind: str, encoded: str) -> str:
        call = QueryCall(f"SELECT toString({{v:{kind}}})", {"param_v": encoded}, "TSVRaw")
        return ask(account, call).content.decode()[:-1]

    return ask_for


def _all_fitting() -> dict[str, dict[str, str]]:
    kinds = {*cases.FITS, *FITS}
    return {kind: cases.FITS.get(kind, {}) | FITS.get(kind, {}) for kind in kinds}


@pytest.mark.parametrize(
    ("kind", "fitting"), sorted(_all_fitting().items()), ids=lambda one: str(one)[:40]
)
def test_what_fits_a_column_arrives_as_it_was_sent(
    kind: str, fitting: dict[str, str], shown: Callable[[str, str], str]
) -> None:
    found = {}
    for text in fitting:
        found[text] = shown(kind, values.encode(parse(kind), exact_json.read(text)))
    assert found == fitting


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (kind, text)
        for kind, reasons in cases.MISFITS.items()
        for texts in reasons.values()
        for text in texts
        if not _TEXT_OF_A_NUMBER.match(text) or (kind == "Bool" and text == '"yes"')
    ],
)
def test_what_fits_no_column_is_refused(kind: str, text: str) -> None:
    # No JSON, or a Misfit.
    with pytest.raises(ValueError):  # noqa: PT011
        values.encode(parse(kind), exact_json.read(text))


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [(kind, text, why) for kind, texts in MISFITS.items() for text, why in texts.items()],
)
def test_what_would_change_is_refused_with_the_reason(kind: str, text: str, reason: str) -> None:
    with pytest.raises(Misfit) as misfit:
        values.encode(parse(kind), exact_json.read(text))
    assert reason in f"{misfit.value}: {misfit.value.reason}"


def test_the_second_of_an_hour_that_comes_twice_stays_the_second(
    shown: Callable[[str, str], str],
) -> None:
    kind = parse("DateTime('Europe/Zurich')")
    moments = [
        values.encode(kind, text)
        for text in (
            "2026-10-25T02:30:00",
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:30:00+01:00",
        )
    ]
    assert moments == ["1792888200", "1792888200", "1792891800"]


@pytest.mark.parametrize("base", ["Int8", "UInt256", "Float32", "Float64", "Bool", "Date", "IPv6"])
def test_a_sample_is_of_its_type(base: str) -> None:
    for kind in (base, f"Nullable({base})", f"Array({base})", f"Tuple({base}, {base})"):
        assert values.encode(parse(kind), values.sample_value(parse(kind))) == values.sample(
            parse(kind)
        )


@pytest.mark.parametrize(
    "kind",
    [
        "Identifier",
        "Array(Identifier)",
        "Tuple()",
        "Tuple(a UInt8, String)",
        "Tuple(a UInt8, a String)",
        "Tuple(UInt8",
        "Nullable(Tuple(UInt8))",
        "LowCardinality(Tuple(UInt8))",
        "Map(Tuple(UInt8), UInt8)",
        "Tuple(Tuple(Tuple(Tuple(Tuple(UInt8)))))",
    ],
)
def test_types_that_no_value_has_are_refused(kind: str) -> None:
    with pytest.raises(TypeRefused):
        parse(kind)


def test_a_nullable_parameter_that_is_left_out_is_null() -> None:
    stored = [{"name": name, "type": kind} for name, kind in _NULLABLE.items()]
    assert bind(load(stored), {}) == {f"param_{name}": "\\N" for name in _NULLABLE}
    said = [{"name": "a", "type": "Nullable(UInt8)", "default": 7}]
    assert bind(load(said), {}) == {"param_a": "7"}
    assert bind(load(said), {"a": None}) == {"param_a": "\\N"}


_NULLABLE = {"a": "Nullable(UInt8)", "b": "LowCardinality(Nullable(String))"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": {"b": [{"c": 1, "c": 1}]}}', "twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": "\xff"}', "UTF-8 at byte 8"),
        (b"[" * 100_000, "nested"),
        (b"[" * 101 + b"]" * 101, "more than 100 levels"),
        (b'{"a":[' * 51 + b"]}" * 51, "more than 100 levels"),
        ('{"a": 1}'.encode("utf-16"), "UTF-8 at byte 1"),
    ],
)
def test_json_that_a_reader_would_change_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        exact_json.read(text)


@pytest.mark.parametrize(
    "text", ["[" * 100 + "]" * 100, "[" + ",".join(["[[]]"] * 1_000) + "]", f'"{"[" * 1_000}"']
)
def test_json_of_many_brackets_is_read_unless_it_is_deep(text: str) -> None:
    assert exact_json.read(text) == json.loads(text)
