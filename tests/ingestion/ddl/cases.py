"""What becomes of JSON values in columns of each type: (type, {value: text in the table}), misfits.

The texts are what ClickHouse's ``toString`` says of the value that has landed.
"""

from __future__ import annotations

from typing import Any

from ingestion.ddl import ColumnSpec


def column(name: str, kind: str, **options: Any) -> ColumnSpec:
    """The column of a case: its type, and what follows it is its format."""
    of_type, _, form = kind.partition(" in the format ")
    return ColumnSpec(name, of_type, format=form, **options)


#: Of objects with each kind of value that marked JSON is for.
NESTED = (
    "Tuple(sku String, price Decimal(38, 20), tags Array(String), "
    "t Tuple(f Float64, i Nullable(Int128)))"
)
NAN_FREE = ["NaN", "1e400"]

#: type -> JSON value -> the landed value as text.
FITS: dict[str, dict[str, str]] = {
    "UInt8": {"0": "0", "255": "255", "1.0": "1", "2e2": "200", "-0": "0"},
    "Int8": {"-128": "-128", "127": "127"},
    "UInt16": {"65535": "65535"},
    "Int64": {
        "-9223372036854775808": "-9223372036854775808",
        "9223372036854775807": "9223372036854775807",
        "9007199254740993": "9007199254740993",
        "1.5e3": "1500",
        "9007199254740993.0": "9007199254740993",
        "9.007199254740993e15": "9007199254740993",
    },
    "UInt64": {
        "18446744073709551615": "18446744073709551615",
        "9007199254740993": "9007199254740993",
    },
    "Int128": {
        "18446744073709551616": "18446744073709551616",
        "-170141183460469231731687303715884105728": "-170141183460469231731687303715884105728",
        "1e20": "100000000000000000000",
    },
    "UInt256": {"123456789012345678901234567890": "123456789012345678901234567890"},
    "Float32": {"1.5": "1.5", "7": "7", "1e10": "10000000000"},
    "Float64": {
        "0.1": "0.1",
        "-0.0": "-0",
        "1e-300": "1e-300",
        "0.12345678901234568": "0.12345678901234568",
        "12": "12",
    },
    "Bool": {"true": "true", "false": "false"},
    "String": {
        '""': "",
        '"7"': "7",
        '"2026-01-01"': "2026-01-01",
        '"2026-01-01T00:00:00Z"': "2026-01-01T00:00:00Z",
        '"123456789012345678901234567890"': "123456789012345678901234567890",
        '"\\u00e9 \\"q\\" \\n"': 'é "q" \n',
        '"\\ud83d\\ude00"': "😀",
    },
    "LowCardinality(String)": {'"a"': "a"},
    "FixedString(3)": {'"abc"': "abc"},
    "Decimal(9, 2)": {
        "1.23": "1.23",
        "5": "5",
        "-9999999.99": "-9999999.99",
        "1.50": "1.5",
        "2e3": "2000",
    },
    "Decimal(38, 18)": {
        "12345678901234567890.123456789012345678": "12345678901234567890.123456789012345678",
        "1e-7": "0.0000001",
        "18446744073709551616": "18446744073709551616",
        "0.100000000000000001": "0.100000000000000001",
    },
    "Date": {'"2026-02-28"': "2026-02-28", '"1970-01-01"': "1970-01-01"},
    "Date32": {'"1900-01-01"': "1900-01-01"},
    "DateTime": {
        '"2026-01-01T10:00:00Z"': "2026-01-01 10:00:00",
        '"2026-01-01 10:00:00"': "2026-01-01 10:00:00",
        '"2026-01-01T10:00:00+02:00"': "2026-01-01 08:00:00",
        '"2026-01-01T10:00:00.000Z"': "2026-01-01 10:00:00",
        "1700000000": "2023-11-14 22:13:20",
        "1700000000000": "2023-11-14 22:13:20",
    },
    "DateTime64(3)": {
        '"2026-01-01T10:00:00.123Z"': "2026-01-01 10:00:00.123",
        '"2026-01-01T10:00"': "2026-01-01 10:00:00.000",
        '"2026-01-01T10:00:00.123000+0530"': "2026-01-01 04:30:00.123",
        "1700000000123": "2023-11-14 22:13:20.123",
        "1700000000.5": "2023-11-14 22:13:20.500",
        "-1": "1969-12-31 23:59:59.000",
        "1.7e9": "2023-11-14 22:13:20.000",
        "1.7e12": "2023-11-14 22:13:20.000",
        '"1950-06-01T00:00:00Z"': "1950-06-01 00:00:00.000",
    },
    "DateTime64(9, 'Europe/Zurich')": {
        '"2026-07-01T12:00:00"': "2026-07-01 12:00:00.000000000",
        '"2026-07-01T10:00:00.123456789Z"': "2026-07-01 12:00:00.123456789",
        "1700000000.123456789": "2023-11-14 23:13:20.123456789",
    },
    "UUID": {
        '"61f0c404-5cb3-11e7-907b-a6006ad3dba0"': "61f0c404-5cb3-11e7-907b-a6006ad3dba0",
        '"61F0C404-5CB3-11E7-907B-A6006AD3DBA0"': "61f0c404-5cb3-11e7-907b-a6006ad3dba0",
    },
    "IPv4": {'"10.0.0.1"': "10.0.0.1"},
    "IPv6": {'"::1"': "::1", '"2001:db8::1"': "2001:db8::1"},
    "Enum8('open' = 1, 'closed' = 2)": {'"open"': "open"},
    "Nullable(UInt8)": {"7": "7", "null": "\\N"},
    "LowCardinality(Nullable(String))": {'"a"': "a", "null": "\\N"},
    "Array(UInt8)": {"[]": "[]", "[1,2]": "[1,2]"},
    "Array(Nullable(String))": {'[null,"q"]': "[NULL,'q']"},
    "Array(Array(Float64))": {
        "[[1,2],[]]": "[[1,2],[]]",
        "[[-0.0,-0]]": "[[-0,0]]",
        # The engine copies these as integers beyond 64 bits.
        "[[1e20],[-1.5E+20,0.5e20]]": (
            "[[100000000000000000000],[-150000000000000000000,50000000000000000000]]"
        ),
    },
    "Array(Int128)": {"[1e20, -15E19]": "[100000000000000000000,-150000000000000000000]"},
    "Map(String, Decimal(38, 2))": {'{"a":1e20}': "{'a':100000000000000000000}"},
    "Array(UInt256)": {f"[-0,{1 << 200}]": f"[0,{1 << 200}]"},
    "Array(Decimal(38, 20))": {"[0.12345678901234567890]": "[0.1234567890123456789]"},
    "Array(UInt64)": {"[1.0,18446744073709551615]": "[1,18446744073709551615]"},
    "Map(String, Int32)": {'{"a":1,"b":-2}': "{'a':1,'b':-2}", "{}": "{}"},
    "Map(String, Array(Bool))": {'{"a":[true]}': "{'a':[true]}"},
}

#: The same of what a parameter of a query takes otherwise, or not at all.
FITS_OF_COLUMNS: dict[str, dict[str, str]] = {
    "Tuple(a UInt8, `b c` Nullable(String))": {
        '{"a":1,"b c":"x"}': "(1,'x')",
        '{"z":[{"a":7}], "b c":null, "a":1}': "(1,NULL)",
        '{"a":1e0}': "(1,NULL)",
        '{"a":1,"a":300}': "(1,NULL)",
        r'{"\u0061":1,"b\u0020c":"it\u0027s"}': "(1,'it\\'s')",
    },
    f"Array({NESTED})": {
        "[]": "[]",
        '[{"sku":"a","price":0.12345678901234567890,"tags":["x"],"t":{"f":-0.0}}]': (
            "[('a',0.1234567890123456789,['x'],(-0,NULL))]"
        ),
        '[{"sku":"#1","price":1e3,"tags":["1e20"],"t":{"f":1e20,"i":1e20}}]': (
            "[('#1',1000,['1e20'],(100000000000000000000,100000000000000000000))]"
        ),
    },
    "Nested(a UInt8, b Array(Nullable(Date)))": {
        '[{"a":1,"b":["2020-01-01",null]},{"b":[],"a":2}]': ("[(1,['2020-01-01',NULL]),(2,[])]")
    },
    "Map(String, Tuple(a UInt8))": {'{"k":{"a":1}}': "{'k':(1)}"},
    "Tuple(a UInt8) in the format json": {r'"{\"a\":1}"': "(1)"},
    "Date in the format %Y/%m/%d": {
        '"2012/01/01"': "2012-01-01",
        '"2012/1/31"': "2012-01-31",
        '"2024/02/29"': "2024-02-29",
        r'"2012\/01\u002f01"': "2012-01-01",
    },
    "Date32 in the format %b %d %Y": {
        '"Jan 1 2000"': "2000-01-01",
        '"DEC 31 1900"': "1900-12-31",
    },
    "Date in the format %d%m%y": {
        '"310168"': "2068-01-31",
        '"311270"': "1970-12-31",
        '"310170"': "1970-01-31",
    },
    "DateTime64(3) in the format %d.%m.%Y %H:%M:%S.%f": {
        '"31.01.2000 10:00:00.123"': "2000-01-31 10:00:00.123",
        '"1.2.2000 1:2:3.1230000"': "2000-02-01 01:02:03.123",
    },
    "DateTime in the format %a, %e %B %Y %T %z": {
        '"Sat,  1 January 2000 00:00:00 +0100"': "1999-12-31 23:00:00",
        '"Sat, 1 january 2000 00:00:00 Z"': "2000-01-01 00:00:00",
    },
    "DateTime64(0, 'Asia/Tokyo') in the format %m/%d/%y %I:%M %p [America/New_York]": {
        '"1/2/05 3:04 PM"': "2005-01-03 05:04:00",
        '"1/2/05 12:04 am"': "2005-01-02 14:04:00",
    },
    "DateTime('Europe/Zurich') in the format %Y%m%d%H%M%S": {
        '"20260329033000"': "2026-03-29 03:30:00"
    },
    "DateTime64(3) in the format ms": {
        "1700000000123": "2023-11-14 22:13:20.123",
        "1700000000123.0": "2023-11-14 22:13:20.123",
        "1.7e12": "2023-11-14 22:13:20.000",
        "-1": "1969-12-31 23:59:59.999",
        "0": "1970-01-01 00:00:00.000",
        "0.0e5": "1970-01-01 00:00:00.000",
    },
    "DateTime64(9) in the format s": {
        "1700000000.123456789": "2023-11-14 22:13:20.123456789",
        "1e9": "2001-09-09 01:46:40.000000000",
    },
    "DateTime64(3) in the format ns": {
        "1700000000123000000": "2023-11-14 22:13:20.123",
        "1.7e18": "2023-11-14 22:13:20.000",
    },
    "DateTime in the format us": {"1700000000000000": "2023-11-14 22:13:20"},
    "Bool in the format yes/no": {
        '"yes"': "true",
        '"no"': "false",
        "true": "true",
        "false": "false",
    },
    "String in the format base64": {'"aGVsbG8="': "hello", '"aGVs"': "hel", '""': ""},
    "FixedString(5) in the format base64": {'"aGVsbG8="': "hello"},
    "Array(Date) in the format %Y/%m/%d": {
        '["2012/01/01","2012/1/2"]': "['2012-01-01','2012-01-02']"
    },
    "Array(DateTime64(3)) in the format us": {
        "[1700000000123000,1.7e15]": "['2023-11-14 22:13:20.123','2023-11-14 22:13:20.000']"
    },
    "Array(Nullable(Bool)) in the format Y/N": {'["Y",null,"N",true]': "[true,NULL,false,true]"},
    "Array(UInt8) in the format json": {
        '"[1,2]"': "[1,2]",
        '" [1, 2 ]\\n"': "[1,2]",
        r'"[\u0031e0]"': "[1]",
        '"[]"': "[]",
    },
    "Map(String, Decimal(38, 20)) in the format json": {
        r'"{\"a\":1e10}"': "{'a':10000000000}",
        r'"{\"it\\u0022s\":0.12345678901234567890}"': "{'it\"s':0.1234567890123456789}",
    },
}

#: type -> reason -> JSON values.
MISFITS: dict[str, dict[str, list[str]]] = {
    "UInt8": {
        "out_of_range": ["300", "-1", "256", "1e3", "123456789012345678901234567890"],
        "not_exact": ["1.5", "0.1", "0.99999999999999999999", "1e-400"],
        "wrong_type": ['"7"', "true", "[1]", '{"a":1}', '""', '"300"'],
        "missing": ["null"],
        "invalid_json": NAN_FREE,
    },
    "Int64": {"out_of_range": ["9223372036854775808", "1e20"], "wrong_type": ['"1"']},
    "UInt64": {"out_of_range": ["18446744073709551616", "-1"]},
    "Int128": {"out_of_range": ["170141183460469231731687303715884105728"]},
    "UInt128": {"out_of_range": ["340282366920938463463374607431768211456"]},
    "Int256": {"out_of_range": [f"{1 << 255}", f"{-(1 << 256)}"]},
    "UInt256": {"out_of_range": [f"{1 << 256}"]},
    "Float32": {"out_of_range": ["3.5e38"], "wrong_type": ['"1.5"', "true", '"nan"']},
    "Float64": {"wrong_type": ['"inf"', '"1"', "[]"], "missing": ["null"]},
    "Bool": {"wrong_type": ["1", "0", '"true"', '"yes"'], "missing": ["null"]},
    "String": {
        "wrong_type": ["7", "1.5", "true", "[1]", '{"a":1}', "123456789012345678901234567890"],
        "missing": ["null"],
        "invalid_json": ['"\\ud800"'],
    },
    "FixedString(3)": {"invalid_value": ['"ab"', '"abcd"'], "wrong_type": ["123"]},
    "FixedString(20)": {"wrong_type": ["18446744073709551616"]},
    "Decimal(9, 2)": {
        "not_exact": ["1.234", "1e-7", "0.001"],
        "out_of_range": ["10000000", "1e12", "12345678901234567890123"],
        "wrong_type": ['"1.23"', "true"],
    },
    "Date": {
        "invalid_value": ['"2026-02-30"', '"2026-2-1"', '"12"', '"2026-01-01T00:00:00Z"', '""'],
        "out_of_range": ['"1969-12-31"', '"2150-01-01"'],
        "wrong_type": ["20000", "true"],
    },
    "DateTime": {
        "invalid_value": [
            '"12"',
            '"2026-01-01T25:00:00Z"',
            '"2026-02-30T00:00:00Z"',
            '"2026-01-01"',
        ],
        "not_exact": ['"2026-01-01T10:00:00.5Z"', "1.5"],
        "out_of_range": ["-1", "1700000000123", '"1969-12-31T23:59:59Z"', '"2107-01-01T00:00:00Z"'],
        "wrong_type": ["true", "[]"],
    },
    "DateTime64(3)": {
        "not_exact": ['"2026-01-01T10:00:00.1234Z"'],
        "out_of_range": ["1e17", '"1899-01-01T00:00:00Z"'],
        "invalid_value": ['"2026-01-01T10:60:00Z"', '"now"'],
    },
    "DateTime('Europe/Zurich')": {"invalid_value": ['"2026-03-29T02:30:00"']},
    "UUID": {"invalid_value": ['"61f0c404"', '"x"'], "wrong_type": ["1"]},
    "IPv4": {
        "invalid_value": ['"10.0.0"', '"10.0.0.256"', '"010.0.0.1"'],
        "wrong_type": ["167772161"],
    },
    "IPv6": {"invalid_value": ['"10.0.0.1"', '"::g"']},
    "Enum8('open' = 1, 'closed' = 2)": {"invalid_value": ['"ajar"', '""'], "wrong_type": ["1"]},
    "Nullable(UInt8)": {"out_of_range": ["300"], "wrong_type": ['"7"']},
    "Array(UInt8)": {
        "invalid_value": ["[1,2,300]", '["1"]', "[null]", "[[1]]", "[1.5]"],
        "wrong_type": ['"no"', "1", '{"0":1}'],
        "missing": ["null"],
    },
    "Array(Nullable(String))": {"invalid_value": ["[1e20]", "[-1.5E+20]", "[7e19 ]", "[2e19]"]},
    "Map(String, String)": {"invalid_value": ['{"a":1e20}', '{"a": 0.2e21}']},
    "Array(FixedString(21))": {"invalid_value": ["[1e20]"]},
    "Array(DateTime64(3))": {"invalid_value": ['["2026-02-30T00:00:00Z"]']},
    "Map(String, Int32)": {
        "invalid_value": ['{"a":"1"}', '{"a":1.5}'],
        "wrong_type": ["[1]", '"a"'],
    },
}

#: The same of what a parameter of a query takes otherwise, or not at all.
MISFITS_OF_COLUMNS: dict[str, dict[str, list[str]]] = {
    "Tuple(a UInt8, `b c` Nullable(String))": {
        "invalid_value": [
            *("{}", '{"a":300}', '{"a":"1"}', '{"b c":"x"}', '{"a":null}', '{"A":1}'),
            *('{"a":1,"b c":12345678901234567890123}', '{"a":0.99999999999999999}', '{"a":[1]}'),
        ],
        "wrong_type": ["[1]", "7", '"{}"', "[[1]]"],
        "missing": ["null"],
    },
    f"Array({NESTED})": {
        "invalid_value": [
            *("[null]", "[[]]", "[{}]", '[{"sku":"a","price":1,"tags":[],"t":{}}]'),
            '[{"sku":"a","price":1.000000000000000000001,"tags":[],"t":{"f":1}}]',
            '[{"sku":"a","price":1,"tags":[],"t":{"f":1}},{"sku":"a","price":1,"t":{"f":1}}]',
            '[{"sku":1e20,"price":1,"tags":[],"t":{"f":1}}]',
        ],
        "wrong_type": ['{"sku":["a"],"price":[1]}'],
    },
    "Nested(a UInt8, b Array(Nullable(Date)))": {"wrong_type": ['{"a":[1],"b":[[]]}']},
    "Map(String, Tuple(a UInt8))": {"invalid_value": ['{"k":1}', '{"k":null}']},
    "Tuple(a UInt8) in the format json": {"wrong_type": ['{"a":1}', '"[1]"']},
    "Date in the format %Y/%m/%d": {
        "invalid_value": [
            *('"2012-01-01"', '"2012/02/30"', '"2012/13/01"', '"2012/01/01 "', '"2012/01/012"'),
            *('"12/01/01"', '"2012/01/01\\n"', '""'),
        ],
        "out_of_range": ['"1969/12/31"', '"2150/01/01"'],
        "wrong_type": ["20120101", "true"],
        "missing": ["null"],
    },
    "Date32 in the format %b %d %Y": {
        "invalid_value": ['"Feb 30 2000"', '"Foo 1 2000"', '"January 1 2000"', '"Jan  1 2000"'],
    },
    "Date in the format %d%m%y": {
        "invalid_value": ['"3101681"', '"31168"'],
        "wrong_type": ["310168"],
    },
    "DateTime64(3) in the format %d.%m.%Y %H:%M:%S.%f": {
        "not_exact": ['"31.01.2000 10:00:00.1234"'],
        "out_of_range": ['"31.01.1899 10:00:00.123"'],
        "invalid_value": ['"31.01.2000 24:00:00.1"', '"31.01.2000 10:00:60.1"'],
    },
    "DateTime in the format %a, %e %B %Y %T %z": {
        "invalid_value": [
            '"Sun,  1 January 2000 00:00:00 +0100"',
            '"Sat, 01 January 2000 00:00:00 +0100"',
            '"Sat, 1 January 2000 00:00:00"',
        ]
    },
    "DateTime64(0, 'Asia/Tokyo') in the format %m/%d/%y %I:%M %p [America/New_York]": {
        "invalid_value": ['"4/3/05 2:30 AM"', '"1/2/05 13:04 PM"', '"1/2/05 0:04 PM"']
    },
    "DateTime('Europe/Zurich') in the format %Y%m%d%H%M%S": {
        "invalid_value": ['"20260329023000"', '"2026032903300"'],
        "wrong_type": ["20260329033000"],
    },
    "DateTime64(3) in the format ms": {
        "not_exact": ["1700000000123.5", "1700000000123.00000000000001", "1e-400"],
        "out_of_range": ["99999999999999999", "1e30", "1e300", f"{1 << 200}"],
        "wrong_type": ['"1700000000123"', "true"],
    },
    "DateTime64(9) in the format s": {
        "not_exact": ["1700000000.1234567891"],
        "out_of_range": ["170000000000"],
    },
    "DateTime64(3) in the format ns": {
        "not_exact": ["1700000000123000001", "1.1e5", "0.5"],
        "out_of_range": ["18446744073709000000"],
    },
    "DateTime in the format us": {
        "not_exact": ["1700000000000001", "1700000000000000.1"],
        "out_of_range": ["-1000000", "4294967296000000"],
    },
    "Bool in the format yes/no": {
        "invalid_value": ['"Yes"', '"true"', '"yes "', '""'],
        "wrong_type": ["1", "[]"],
        "missing": ["null"],
    },
    "String in the format base64": {
        "invalid_value": ['"aGVsbG8"', '"aGVsbG9="', '"a GV"', '"aG-_"', '"="'],
        "wrong_type": ["1234"],
    },
    "FixedString(5) in the format base64": {"invalid_value": ['"aGVs"', '"aGVsbG8"']},
    "Array(Date) in the format %Y/%m/%d": {"invalid_value": ['["2012/02/30"]', "[1]"]},
    "Array(DateTime64(3)) in the format us": {"invalid_value": ["[1700000000123001]", "[0.1]"]},
    "Array(Nullable(Bool)) in the format Y/N": {"invalid_value": ['["y"]', "[1]"]},
    "Array(UInt8) in the format json": {
        "invalid_value": ['"[300]"', '"x"', '""', '"[1] 2"', '"[0.99999999999999999999]"'],
        "wrong_type": ["[1]", "7", r'"{\"a\":1}"', '"7"'],
        "missing": ["null", '"null"'],
    },
    "Map(String, Decimal(38, 20)) in the format json": {
        "invalid_value": [r'"{\"a\":0.123456789012345678901}"', r'"{\"a\":\"1\"}"'],
    },
}

ALL_FITS = FITS | FITS_OF_COLUMNS
ALL_MISFITS = MISFITS | MISFITS_OF_COLUMNS
