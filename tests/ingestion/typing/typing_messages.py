"""Hypothesis strategies of JSON texts: any value, and what a column's type would often take."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence

from hypothesis import strategies as st

Texts = st.SearchStrategy[str]


def _quoted(texts: st.SearchStrategy[object]) -> Texts:
    return texts.map(lambda one: f'"{one}"')


_BITS = [7, 8, 15, 16, 31, 32, 53, 63, 64, 127, 128, 255, 256]
_edges = st.builds(
    lambda bits, near, sign: str(sign * (1 << bits) + near),
    st.sampled_from(_BITS),
    st.integers(-3, 3),
    st.sampled_from([1, -1]),
)
_integers = st.one_of(
    st.integers(-300, 300).map(str), _edges, st.integers(-(10**80), 10**80).map(str)
)
_floats = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map("{:.17g}".format),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["0.30000000000000004", "1.7976931348623157e308", "5e-324", "1e-400", "-0.0"]),
)
_decimals = st.one_of(
    st.decimals(-(10**9), 10**9, places=4).map("{:f}".format),
    st.decimals(-1000, 1000, places=2).map("{:f}".format),
    st.decimals(-(10**20), 10**20, places=18).map("{:f}".format),
    st.sampled_from(
        ["0.1", "0.10000000000000001", "0.10000000000000000001", "0.99999999999999999"]
    ),
)
_exponents = st.builds("{}e{}".format, st.integers(-99_999, 99_999), st.integers(-12, 25))
_odd_numbers = st.sampled_from(
    ["-0", "1e400", "NaN", "Infinity", "-Infinity", "1E+2", "1.0", "01", "+1", "1.", ".5", "0e-400"]
)
_epochs = st.one_of(
    st.integers(0, 4_200_000_000).map(str),
    st.integers(-2_300_000_000, 11_000_000_000).map(str),
    st.integers(0, 10_000_000_000_000).map(str),
    st.integers(0, 2_000_000_000_000).map(lambda one: f"{one // 1000}.{one % 1000:03d}"),
    st.integers(0, 2_000_000_000_000_000_000).map(lambda one: f"{one // 10**9}.{one % 10**9:09d}"),
    st.integers(0, 2_000_000_000).map(lambda one: f"{one}000.5"),
    st.sampled_from(["1.7e9", "1.7e12", "1700000000.0", "99999999999", "100000000000"]),
)
_numbers = st.one_of(_integers, _floats, _decimals, _exponents, _odd_numbers, _epochs)

_strings = st.one_of(
    st.text(max_size=8).map(json.dumps),
    st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.text(st.characters(max_codepoint=127), min_size=5, max_size=5).map(json.dumps),
    st.sampled_from([r'"\u0000"', r'"a\u0000b"', r'"\ud800"', r'"\udc00x"', r'"\ud83d\ude00"']),
    st.sampled_from([r'"\/\b\f\n\r\t\\\""', '"7"', '"true"', '"#"', '"x#"', '"null"', '"\x00"']),
    _quoted(_integers),
    _quoted(_decimals),
)
_names = _quoted(st.sampled_from(["open", "it's", "closed", "Open", "open "]))
_times = st.builds(
    '"{}{}{}{}{}"'.format,
    st.dates() | st.sampled_from(["2026-03-08", "2026-11-01", "1900-01-01", "2299-12-31"]),
    st.sampled_from("TTT  _"),
    st.sampled_from(["00:00", "23:59", "12:30", "01:30", "02:30", "24:00", "7:15"]),
    st.sampled_from(["", ":00", ":59", ":60", ":01.5", ":01.123", ":01.1234", ":01.123456000"]),
    st.sampled_from(["", "", "Z", "+02:00", "-0530", "+14:00", "z", " UTC", "+25:00", "-02:60"]),
)
_dates = _quoted(
    st.one_of(
        st.dates(),
        st.sampled_from(["2026-02-30", "2024-02-29", "2026-2-1", "1969-12-31", "2149-06-07"]),
    )
)
_uuids = _quoted(
    st.one_of(
        st.uuids(),
        st.uuids().map(lambda one: str(one).upper()),
        st.uuids().map(lambda one: one.hex),
        st.uuids().map(lambda one: f"{str(one)[:-1]}g"),
    )
)
_addresses = _quoted(
    st.one_of(
        st.ip_addresses(),
        st.ip_addresses(v=6).map(lambda one: one.exploded),
        st.sampled_from(["1.2.3", "01.2.3.4", "::ffff:1.2.3.4", "fe80::1%eth0", ":::"]),
    )
)
_words = st.sampled_from(["true", "false", "null"])
_scalars = st.one_of(
    _numbers, _numbers, _strings, _names, _times, _dates, _uuids, _addresses, _words
)


def _list(elements: Texts) -> Texts:
    return st.lists(elements, max_size=3).map(lambda found: f"[{','.join(found)}]")


def _object(elements: Texts) -> Texts:
    keys = st.text(max_size=3).map(json.dumps)
    return st.dictionaries(keys, elements, max_size=3).map(
        lambda found: "{" + ",".join(f"{key}: {value}" for key, value in found.items()) + "}"
    )


_values = st.one_of(*[_scalars] * 4, _list(_scalars), _object(_scalars), _list(_list(_scalars)))
#: By the beginning of a type's name, the first that fits.
_LIKELY: dict[str, Texts] = {
    "Int": _integers,
    "UInt": _integers,
    "Float": st.one_of(_floats, _numbers),
    "Decimal": st.one_of(_decimals, _exponents, _integers),
    "Bool": _words,
    "String": _strings,
    "FixedString": _strings,
    "Enum": _names,
    "UUID": _uuids,
    "IPv": _addresses,
    "DateTime": st.one_of(_times, _epochs),
    "Date": _dates,
}


#: By the end of a column's format, texts that often have it.
_LIKELY_FORMAT: dict[str, Texts] = {
    "%d.%m.%Y": _quoted(st.dates().map("{0.day}.{0.month:02d}.{0.year:04d}".format)),
    "%b %d %Y": _quoted(
        st.builds(
            "{} {} {}".format,
            st.sampled_from(["Jan", "feb", "APR", "Jun", "Dez", "June"]),
            st.sampled_from(["1", "01", "29", "31", "32", " 1"]),
            st.sampled_from(["2000", "1900", "1", "99"]),
        )
    ),
    "%T.%f [America/New_York]": _quoted(
        st.builds(
            "{}/{} {}{}".format,
            st.sampled_from(["1900", "2026", "2299", "2300"]),
            st.sampled_from(["03/08", "3/8", "11/01", "02/29", "13/01"]),
            st.sampled_from(["02:30:00", "1:2:3", "23:59:59", "23:59:60", "24:00:00"]),
            st.sampled_from([".1", ".123", ".1234", ".1230", ".123456789", "", "."]),
        )
    ),
    "%Y%m%d%H%M%z": _quoted(
        st.builds(
            "{}{}{}".format,
            st.sampled_from(["20260131", "19700101", "20260230", "2026131", "21060207"]),
            st.sampled_from(["0000", "2359", "2400", "062"]),
            st.sampled_from(["Z", "+02:00", "-0530", "", "+25:00", "z"]),
        )
    ),
    "s": _epochs,
    "base64": _quoted(
        st.one_of(
            st.binary(min_size=5, max_size=5).map(lambda made: base64.b64encode(made).decode()),
            st.sampled_from(["aGVsbG8=", "aGVsbG9=", "aGVsbG8", "AAAA", "aGVs bG8=", "-_==", "="]),
        )
    ),
    "open/closed": st.one_of(_names, _words),
}


def _in_text(texts: Texts) -> Texts:
    return st.one_of(
        texts.map(json.dumps),
        texts.map(lambda text: json.dumps(f" {text}\n")),
        texts.map(lambda text: json.dumps(text).replace("0", r"\u0030")),
        texts,
    )


def _tuple(members: Sequence[str]) -> Texts:
    """Objects that often have all these members, such as ``s String``."""
    texts = {one.split(" ", 1)[0]: likely(one.split(" ", 1)[1]) for one in members}
    whole = st.fixed_dictionaries(texts)
    return st.one_of(whole, whole, st.fixed_dictionaries({}, optional=texts)).map(
        lambda found: "{" + ", ".join(f'"{key}":{value}' for key, value in found.items()) + "}"
    )


def likely(kind: str) -> Texts:
    """Texts that often fit the type and the format."""
    kind, _, form = kind.partition(" in the format ")
    if form == "json":
        return _in_text(likely(kind))
    if form:
        found = next(one for end, one in _LIKELY_FORMAT.items() if form.endswith(end))
        return _list(found) if kind.startswith("Array(") else found
    if kind.startswith("Tuple("):
        return _tuple(re.split(r", (?=[a-z] )", kind[6:-1]))
    for wrapper, build in (("Array(", _list), ("Map(String, ", _object)):
        if kind.startswith(wrapper):
            return build(likely(kind.removeprefix(wrapper)))
    bare = kind.removeprefix("LowCardinality(").removeprefix("Nullable(")
    return next(found for name, found in _LIKELY.items() if bare.startswith(name))


def messages(kinds: Sequence[str]) -> st.SearchStrategy[dict[int, str]]:
    """JSON texts by column, mostly one, of any value or such as may fit."""
    one = st.integers(0, len(kinds) - 1).flatmap(
        lambda index: st.tuples(st.just(index), st.one_of(_values, likely(kinds[index])))
    )
    many = st.lists(
        st.integers(0, len(kinds) - 1).flatmap(
            lambda index: st.tuples(st.just(index), likely(kinds[index]))
        ),
        min_size=2,
        max_size=5,
    )
    single = one.map(lambda pair: dict([pair]))
    return st.one_of(single, single, many.map(dict))
