"""Wall one alone: the grants and the profile of a tenant's user, enforced by the engine itself.

The embedded engine reads both as a users.xml, and holds all but quotas, the scalar ``file()`` and
INTO OUTFILE: the first is a server's, the others are held by the guard, and by Landlock.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from analytics_api.guard import check
from analytics_api.parameters import values
from millrace.embedded.clickhouse import confine
from tenants.warehouse import statements
from tests.security import attacks, users_xml
from tests.security.cast import MINE, OTHER, TABLES
from tests.security.engine_alone import (
    EVERYTHING,
    LIMITS,
    EngineAlone,
    ask_of,
    leak,
    opened,
    prepared,
)
from tests.security.tally import Tally

pytestmark = pytest.mark.security

_STATE = "SELECT count(), sum(delay) FROM {}.flights"


def _attack(engine: EngineAlone, tally: Tally, wall: str) -> list[tuple[str, str]]:
    """Try the corpus; what leaked. What a wall is said not to hold counts for none of it."""
    found = []
    for attack in attacks.of("sql"):
        outcome = engine.run(attack.text)
        leaked = "the engine's life" if outcome.crashed else leak(outcome)
        if leaked:
            found.append((attack.what, leaked))
        expected = wall == attack.not_held_by
        assert not expected or leaked, f"The {wall} holds it: take the mark away. {attack}"
        if not expected:
            tally.note(wall, attack, leaked)
    return found


def test_the_engine_alone_shows_a_tenant_nothing_of_another(folder: Path, tally: Tally) -> None:
    with opened(folder) as engine:
        found = _attack(engine, tally, "engine")
    assert not tally.at("engine")
    assert {what for _, what in found} == {"a file of the machine"}
    with opened(folder, EVERYTHING, limited=False) as engine:
        for database, state in ((MINE, "1\t5\n"), (OTHER, "1\t5\n")):
            assert engine.rows(_STATE.format(database)) == state
        assert engine.rows("SELECT name FROM system.databases WHERE name LIKE 't\\_%' ORDER BY 1")
        tables = engine.rows(f"SELECT name FROM system.tables WHERE database = '{MINE}' ORDER BY 1")
        assert tables.split() == sorted([*TABLES, "flights__inbox"])


def test_a_grant_too_many_is_seen(folder: Path) -> None:
    own = Tally()
    with opened(folder, ("SELECT ON *.*",)) as engine:
        _attack(engine, own, "engine")
    assert len(own.leaks) > 25


@pytest.mark.parametrize("what", ["change", "lift"])
def test_a_profile_taken_away_is_seen(folder: Path, what: str) -> None:
    sql = {
        "change": f"INSERT INTO {MINE}.weather SELECT * FROM {MINE}.weather WHERE 0",
        "lift": "SELECT 1 SETTINGS max_execution_time = 0",
    }[what]
    with opened(folder) as engine:
        assert engine.run(sql).error
    with opened(folder, EVERYTHING, limited=False) as engine:
        assert not engine.run(sql).error


def test_constraints_hold_where_readonly_does_not(folder: Path) -> None:
    """As after a mistake in a server's configuration: the profile's own bounds still stand."""
    profile = tuple(one for one in LIMITS.profile() if one.name != "readonly")
    config = users_xml.write(folder, statements.grants(MINE), profile)
    engine = EngineAlone(folder, config)
    try:
        for one in profile:
            if one.bounded:
                for value in (0, int(one.value) * 2):
                    assert "should not be changed" in engine.run(f"SET {one.name} = {value}").error
        assert not engine.run("SELECT 1 SETTINGS max_block_size = 100").error
    finally:
        engine.close()


def test_every_honest_query_works_on_the_engine_alone(folder: Path) -> None:
    with opened(folder) as engine:
        ask = ask_of(engine)
        for sql in (line for name in attacks.HONEST for line in attacks.lines(name)):
            guarded = check(sql, tables=TABLES, database=MINE, ask=ask)
            if guarded.settings:
                continue  # this engine lets none be brought; the server's wall tries them
            bound = {one.name: values.sample(one.type) for one in guarded.parameters}
            bound = {name: "1" if value == "0" else value for name, value in bound.items()}
            outcome = engine.run(guarded.sql, bound)
            assert not outcome.error, sql
            assert not outcome.crashed, sql


def test_the_engine_enforces_row_filters(folder: Path) -> None:
    filters = (
        f"<databases><{MINE}><flights><filter>delay > 100</filter></flights></{MINE}></databases>"
    )
    with opened(folder, filters=filters) as engine:
        for sql in (
            "SELECT x FROM flights",
            "SELECT x FROM merge('t_ua', 'flights')",
            "SELECT x FROM view(SELECT * FROM t_ua.flights)",
        ):
            assert engine.rows(sql) == ""


@pytest.mark.parametrize("cluster", ["", "main"])
def test_every_statement_passes_the_engines_own_parser(folder: Path, cluster: str) -> None:
    names = (MINE, MINE)
    made = [
        *statements.create(*names, "secret", LIMITS, cluster=cluster),
        *statements.add_password(MINE, "next", cluster=cluster),
        *statements.drop(*names, cluster=cluster),
    ]
    assert len(made) == 12
    with opened(folder, EVERYTHING, limited=False) as engine:
        for statement in made:
            again = engine.run("SELECT formatQuery({sql:String})", {"sql": statement})
            assert not again.error, statement
            assert ("ON CLUSTER" in again.result) == bool(cluster)
            assert "secret" not in again.result


@pytest.mark.skipif(not confine.version(), reason="This kernel has no Landlock.")
def test_landlock_alone_shows_no_file(tally: Tally) -> None:
    """Every right of the engine, no limit, no guard: what the process can't open, none can show."""
    named = [one for one in attacks.of("sql") if "/etc/pass" in one.text or "/proc/" in one.text]
    assert len(named) > 40
    # Such rights change things, hence data of its own.
    with (
        prepared() as folder,
        opened(folder, EVERYTHING, limited=False, confined=True) as engine,
    ):
        for attack in named:
            outcome = engine.run(attack.text)
            tally.note("landlock", attack, "a file" if "root:" in outcome.text else "")
            assert "MILLRACE_HOME" not in outcome.text
        target = "/tmp/written-by-an-attack"  # noqa: S108
        assert engine.run(f"SELECT 1 INTO OUTFILE '{target}'").error
        assert not Path(target).exists()
    assert not tally.at("landlock")


def test_an_engine_without_landlock_is_seen(folder: Path) -> None:
    with opened(folder, EVERYTHING, limited=False) as engine:
        assert "root:" in engine.run("SELECT file('/etc/passwd')").text
