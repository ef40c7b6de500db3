"""A tenant's grants and profile as the ``users.xml`` of an engine that has no other users.

The embedded engine knows no CREATE USER, but enforces what such a file says
(clickhouse.com/docs/operations/settings/settings-users, …/constraints-on-settings).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

from tenants.warehouse.statements import Assignment

_USERS = """<clickhouse>
<profiles><default/><tenant>{values}<constraints>{constraints}</constraints></tenant></profiles>
<quotas><default></default></quotas>
<users><default>
  <password></password><networks><ip>::/0</ip></networks>
  <profile>{profile}</profile><quota>default</quota>
  <grants>{grants}</grants>
  {filters}
</default></users>
</clickhouse>
"""
_CONFIG = """<clickhouse>
<users_config>{users}</users_config><logger><level>fatal</level></logger>
</clickhouse>
"""


def _constraint(one: Assignment) -> str:
    if one.changeable:
        return ""  # the embedded engine refuses changeable_in_readonly; a server knows it
    bounds = f"<min>1</min><max>{one.value}</max>" if one.bounded else ""
    return f"<{one.name}>{bounds}<readonly/></{one.name}>"


def write(
    folder: Path,
    grants: Iterable[str],
    profile: Iterable[Assignment] | None,
    filters: str = "",
) -> Path:
    """Write ``users.xml`` and a configuration that names it, whose path is returned.

    ``profile`` None: no limit at all. ``filters``: row policies, as ``<databases>…``.
    """
    chosen = tuple(profile or ())
    users = folder / "users.xml"
    users.write_text(
        _USERS.format(
            values="".join(
                f"<{one.name}>{one.value}</{one.name}>" for one in chosen if one.value is not None
            ),
            constraints="".join(map(_constraint, chosen)),
            profile="default" if profile is None else "tenant",
            grants="".join(f"<query>GRANT {escape(grant)}</query>" for grant in grants),
            filters=filters,
        )
    )
    config = folder / "config.xml"
    config.write_text(_CONFIG.format(users=escape(str(users))))
    return config
