"""Whom the attacks concern: the tenant that attacks, and the one whose data must not show."""

from __future__ import annotations

MINE, OTHER = "t_ua", "t_aa"
#: What the guard is told that the attacking tenant has.
TABLES = frozenset({"flights", "weather", "events"})
#: Stands in the other tenant's rows and nowhere else.
CANARY = "canary8f3a"

_FLIGHTS = (
    "origin String, dest String, carrier String, kind String, tailnum Nullable(String), "
    "delay Int32, day Date, time DateTime, hour DateTime, raw String, x String"
)
_WEATHER = "origin String, hour DateTime, time DateTime, temp Float64, y UInt8"
_EVENTS = (
    "kind String, time DateTime, delay Int32, tags Array(String), attributes Map(String, String), "
    "raw String, origin String, origins Array(String), location Tuple(lat Float64, lon Float64), "
    "user String, file String, url String, system String, format String, settings String, "
    "a UInt32, b UInt32, t Tuple(p UInt8, q UInt8), x UInt8"
)
_ROW = (
    "'JFK', 'LAX', 'UA', 'a', 'N1', 5, '2013-01-01', '2013-01-01 01:00:00', '2013-01-01 01:00:00'"
)

#: The data of both, in the order in which it is made.
PREPARED = (
    f"CREATE DATABASE {MINE}",
    f"CREATE DATABASE {OTHER}",
    *(
        f"CREATE TABLE {database}.flights ({_FLIGHTS}) "
        "ENGINE = ReplacingMergeTree ORDER BY cityHash64(origin) SAMPLE BY cityHash64(origin)"
        for database in (MINE, OTHER)
    ),
    f"CREATE TABLE {MINE}.weather ({_WEATHER}) ENGINE = MergeTree ORDER BY origin",
    f"CREATE TABLE {MINE}.events ({_EVENTS}) ENGINE = MergeTree ORDER BY kind",
    f"CREATE TABLE {MINE}.flights__inbox (raw String) ENGINE = Null",
    f"INSERT INTO {MINE}.flights VALUES ({_ROW}, '', 'mine')",
    f"INSERT INTO {MINE}.events (kind, time, x) VALUES ('a', '2013-01-01 01:00:00', 1)",
    f"INSERT INTO {MINE}.weather VALUES ('JFK', '2013-01-01', '2013-01-01', 3.5, 1)",
    f"INSERT INTO {OTHER}.flights VALUES ({_ROW.replace('JFK', CANARY)}, '{CANARY}', '{CANARY}')",
    f"CREATE TABLE {OTHER}.j (k UInt8, x String) ENGINE = Join(ANY, LEFT, k)",
    f"INSERT INTO {OTHER}.j VALUES (1, '{CANARY}')",
    f"CREATE TABLE {OTHER}.src (k UInt64, a String) ENGINE = MergeTree ORDER BY k",
    f"INSERT INTO {OTHER}.src VALUES (1, '{CANARY}')",
    (
        f"CREATE DICTIONARY {OTHER}.d (k UInt64, a String) PRIMARY KEY k "
        f"SOURCE(CLICKHOUSE(TABLE 'src' DB '{OTHER}')) LAYOUT(FLAT()) LIFETIME(0)"
    ),
)


def named(text: str, mine: str, other: str) -> str:
    """``text`` with the two databases called otherwise."""
    return text.replace(MINE, mine).replace(OTHER, other)
