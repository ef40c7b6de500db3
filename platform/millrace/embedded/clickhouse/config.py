"""The engine's configuration files: what it logs, its defaults, and the roles it enforces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from tenants.warehouse.quoting import identifier

#: The role of the administrator of the command line.
ADMIN_ROLE = "millrace_admin"
#: The role of users that were made after the engine read its roles.
LATECOMER_ROLE = "millrace_reader"
#: The role of users that were granted nothing.
NOBODY_ROLE = "millrace_nobody"

#: Bytes of the disk that inserts and merges leave alone. A merge that meets a disk without any
#: room left ends as if it had been written, and its rows are gone when the engine starts anew.
KEPT_FREE = 100_000_000

#: Parts that a merge takes at the least. By itself the engine merges a few small parts, time and
#: again, which is a third of what it spends where each of many tables gets some rows now and then.
MERGED_PARTS = 10
#: Seconds after which a partition is merged that nothing was inserted into, however few its parts.
MERGED_AFTER = 120
#: Seconds between two looks at a table for something to merge, to move, or to stream. An insert has
#: its table looked at anyway. By itself the engine begins with a tenth of a second for each table,
#: and with a thousand tenants that is a fifth of a core while nothing happens at all.
LOOK = 10
_LOOKING = ("", "move_", "streaming_")

_CONFIG = """<clickhouse>
  <users_config>{users}</users_config>
  <logger><level>fatal</level></logger>
  <storage_configuration><disks>
    <default><keep_free_space_bytes>{kept_free}</keep_free_space_bytes></default>
  </disks></storage_configuration>
{looks}
  <merge_tree>
    <min_parts_to_merge_at_once>{merged_parts}</min_parts_to_merge_at_once>
    <min_partition_age_to_force_merge_seconds>{merged_after}</min_partition_age_to_force_merge_seconds>
  </merge_tree>
</clickhouse>
"""

# async_insert is on by default in new servers, and would acknowledge a batch outside of the
# deduplication that the batch's token asks for.
_USERS = """<clickhouse>
  <profiles><default>
    <async_insert>0</async_insert>
    <allow_introspection_functions>0</allow_introspection_functions>
  </default></profiles>
  <quotas><default></default></quotas>
  <roles>
{roles}
  </roles>
  <users><default>
    <password></password><networks><ip>::/0</ip></networks>
    <profile>default</profile><quota>default</quota>
    <grants><query>GRANT {names}</query></grants>
  </default></users>
</clickhouse>
"""


def role_of(user: str) -> str:
    """The engine's role of a user."""
    return f"user_{user}"


def _role(name: str, grants: Iterable[str]) -> str:
    queries = "".join(f"<query>{escape(grant)}</query>" for grant in grants)
    return f"    <{name}><grants>{queries}</grants></{name}>"


def _look(pool: str) -> str:
    name = f"background_{pool}processing_pool_thread_sleep_seconds_if_nothing_to_do"
    return f"  <{name}>{LOOK}</{name}>"


def _reads(databases: Iterable[str]) -> list[str]:
    return [f"GRANT SELECT ON {identifier(database)}.*" for database in sorted(databases)]


def write(folder: Path, grants: Mapping[str, frozenset[str]]) -> Path:
    """Write both files into ``folder``; ``grants`` are the databases of each user. The config."""
    roles = {
        ADMIN_ROLE: ["GRANT ALL ON *.* WITH GRANT OPTION"],
        LATECOMER_ROLE: ["GRANT SELECT ON *.*"],
        NOBODY_ROLE: [],
        **{role_of(user): _reads(databases) for user, databases in grants.items() if databases},
    }
    users = folder / "users.xml"
    text = "\n".join(_role(name, queries) for name, queries in roles.items())
    users.write_text(_USERS.format(roles=text, names=", ".join(roles)))
    config = folder / "config.xml"
    config.write_text(
        _CONFIG.format(
            users=escape(str(users)),
            kept_free=KEPT_FREE,
            merged_parts=MERGED_PARTS,
            merged_after=MERGED_AFTER,
            looks="\n".join(map(_look, _LOOKING)),
        )
    )
    return config
