"""Writes the engine's configuration files: logging, defaults, and the roles it enforces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from tenants.warehouse.quoting import identifier

#: The role of the administrator, who is named on the command line.
ADMIN_ROLE = "millrace_admin"
#: The role of users that were created after the engine read its roles.
LATECOMER_ROLE = "millrace_reader"
#: The role of users without grants.
NOBODY_ROLE = "millrace_nobody"

#: Bytes of disk space that inserts and merges leave free. On a full disk a merge reports success
#: without being stored, and its rows are gone after the engine's next start.
KEPT_FREE = 100_000_000

#: The fewest parts of a merge. By default the engine merges a few small parts again and again,
#: which is a third of its CPU time if each of many tables gets some rows now and then.
MERGED_PARTS = 10
#: Seconds without an insert after which a partition is merged, however few parts it has.
MERGED_AFTER = 120
#: Seconds between two checks of a table for something to merge, move or stream. Each insert checks
#: its table anyway. By default the engine starts with 0.1 s for each table, and with a thousand
#: tenants that takes a fifth of a core while nothing happens.
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

# async_insert is on by default in new servers. It would acknowledge a batch without the
# deduplication that the batch's token requests.
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
    """Write both files into ``folder``; returns the path of the main one.

    ``grants`` has the databases of each user.
    """
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
