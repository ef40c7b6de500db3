"""The statements about users and grants, which this server executes itself.

It knows only the forms below, and refuses every other statement about users and grants.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from millrace.embedded.clickhouse.errors import EngineError, refuse
from millrace.embedded.clickhouse.users import Setting, User, Users
from tenants.warehouse.quoting import unquoted

_NAME = r"(?:`(?P<{0}q>[^`\\]+)`|\"(?P<{0}d>[^\"\\]+)\"|'(?P<{0}s>[^'\\]+)'|(?P<{0}w>[A-Za-z_]\w*))"
_USER = _NAME.format("user_")
_DATABASE = _NAME.format("base_")
_PROFILE = _NAME.format("profile_")
_END = r"\s*;?\s*\Z"
_SHA = r"IDENTIFIED\s+WITH\s+sha256_hash\s+BY\s+'(?P<digest>[0-9A-Fa-f]{64})'"
_HOST = r"(?:\s+HOST\s+(?:ANY|LOCAL|NAME\s+'[^']*'|IP\s+'[^']*'(?:\s*,\s*(?:IP\s+)?'[^']*')*))?"
_DEFAULT = rf"(?:\s+DEFAULT\s+DATABASE\s+{_DATABASE})?"
_SETTINGS = r"(?:\s+SETTINGS\s+(?P<settings>.+?))?"


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\s*{pattern}{_END}", re.IGNORECASE | re.DOTALL)


_CREATE = _form(
    rf"CREATE\s+USER\s+(?P<modifier>IF\s+NOT\s+EXISTS\s+|OR\s+REPLACE\s+)?{_USER}\s+{_SHA}"
    rf"{_HOST}{_DEFAULT}{_SETTINGS}"
)
_ALTER = _form(
    rf"ALTER\s+USER\s+(?P<modifier>IF\s+EXISTS\s+)?{_USER}(?:\s+(?P<add>ADD\s+)?{_SHA})?"
    rf"{_HOST}{_DEFAULT}{_SETTINGS}"
)
_DROP = _form(rf"DROP\s+USER\s+(?P<modifier>IF\s+EXISTS\s+)?{_USER}")
_CREATE_PROFILE = _form(
    rf"CREATE\s+SETTINGS\s+PROFILE\s+(?P<modifier>IF\s+NOT\s+EXISTS\s+|OR\s+REPLACE\s+)?"
    rf"{_PROFILE}\s+SETTINGS\s+(?P<settings>.+?)"
)
_DROP_PROFILE = _form(rf"DROP\s+SETTINGS\s+PROFILE\s+(?P<modifier>IF\s+EXISTS\s+)?{_PROFILE}")
_BY_PROFILE = re.compile(rf"PROFILE\s+{_PROFILE}\Z", re.IGNORECASE)
_GRANT = _form(rf"GRANT\s+SELECT\s+ON\s+{_DATABASE}\s*\.\s*\*\s+TO\s+{_USER}")
_REVOKE = _form(rf"REVOKE\s+SELECT\s+ON\s+{_DATABASE}\s*\.\s*\*\s+FROM\s+{_USER}")
_SHOW = _form(r"SHOW\s+USERS")
_FAMILY = re.compile(
    r"\s*(?:(?:CREATE|ALTER|DROP|SHOW\s+CREATE)\s+(?:USER|ROLE|QUOTA|ROW\s+POLICY|POLICY|PROFILE|"
    r"SETTINGS\s+PROFILE)\b|GRANT\b|REVOKE\b|SHOW\s+USERS\b|SET\s+(?:DEFAULT\s+)?ROLE\b)",
    re.IGNORECASE,
)
_ONE_SETTING = re.compile(
    r"""\s*(?P<name>[A-Za-z_]\w*)
    (?:\s*=?\s*(?P<value>'(?:[^'\\]|\\.)*'|-?[\w.]+))??
    (?:\s+MIN\s*=?\s*(?P<least>'[^']*'|-?[\w.]+))?
    (?:\s+MAX\s*=?\s*(?P<most>'[^']*'|-?[\w.]+))?
    (?:\s+(?P<kind>READONLY|CONST|WRITABLE|CHANGEABLE_IN_READONLY))?\s*(?:,|\Z)""",
    re.IGNORECASE | re.VERBOSE,
)


def concerns(sql: str) -> bool:
    """Whether a statement is about users, roles or grants."""
    return _FAMILY.match(sql) is not None


def carry_out(sql: str, users: Users) -> str:
    """Execute a statement about users and return its result (TabSeparated).

    Raises EngineError: 48 for an unknown form, 192 for an unknown user, 493 for an existing user.
    """
    for pattern, action in _ACTIONS:
        match = pattern.match(sql)
        if match is not None:
            return action(match, users)
    raise refuse(
        48,
        "The embedded ClickHouse does not know this statement. It knows CREATE USER … IDENTIFIED "
        "WITH sha256_hash BY, ALTER USER, DROP USER, SHOW USERS, CREATE and DROP SETTINGS PROFILE, "
        "and GRANT and REVOKE SELECT ON database.*.",
    )


def _name(match: re.Match[str], of: str) -> str:
    return next((match[of + end] for end in "qdsw" if match[of + end]), "")


def _plain(text: str | None) -> str | None:
    if text is None or not text.startswith("'"):
        return text
    return unquoted(text)


def settings_of(text: str | None) -> dict[str, Setting]:
    """Read ``name = value [MIN x] [MAX y] [READONLY|CONST], …``; raises EngineError 48."""
    settings: dict[str, Setting] = {}
    at = 0
    while text and at < len(text):
        match = _ONE_SETTING.match(text, at)
        if match is None:
            raise refuse(48, f"This part of SETTINGS is not understood: {text[at : at + 60]!r}.")
        settings[match["name"]] = Setting(
            value=_plain(match["value"]),
            least=_plain(match["least"]),
            most=_plain(match["most"]),
            fixed=(match["kind"] or "").upper() in ("READONLY", "CONST"),
            free=(match["kind"] or "").upper() == "CHANGEABLE_IN_READONLY",
        )
        at = match.end()
    return settings


def _create(match: re.Match[str], users: Users) -> str:
    modifier = (match["modifier"] or "").upper()
    user = User(
        name=_name(match, "user_"),
        digest=match["digest"],
        database=_name(match, "base_"),
        settings=settings_of(match["settings"]),
    )
    users.create(
        user,
        if_not_exists=modifier.startswith("IF"),
        or_replace=modifier.startswith("OR"),
    )
    return ""


def _alter(match: re.Match[str], users: Users) -> str:
    def change(user: User) -> User:
        digest, also = user.digest, user.also
        if match["digest"]:
            also = also | {digest} if match["add"] else frozenset()
            digest = match["digest"]
        settings, profile = _set(match["settings"], users, user)
        return replace(
            user,
            digest=digest,
            also=also,
            database=_name(match, "base_") or user.database,
            settings=settings,
            profile=profile,
        )

    users.alter(_name(match, "user_"), change, if_exists=bool(match["modifier"]))
    return ""


def _set(text: str | None, users: Users, user: User) -> tuple[dict[str, Setting], str]:
    """The user's settings and profile after ``SETTINGS text``, which replaces both."""
    if not text:
        return user.settings, user.profile
    match = _BY_PROFILE.match(text)
    if match is None:
        return settings_of(text), ""
    name = _name(match, "profile_")
    if not users.has_profile(name):
        raise refuse(180, f"There is no settings profile `{name}` in user directories.")
    return {}, name


def _create_profile(match: re.Match[str], users: Users) -> str:
    modifier = (match["modifier"] or "").upper()
    users.set_profile(
        _name(match, "profile_"),
        settings_of(match["settings"]),
        if_not_exists=modifier.startswith("IF"),
        or_replace=modifier.startswith("OR"),
    )
    return ""


def _drop_profile(match: re.Match[str], users: Users) -> str:
    users.drop_profile(_name(match, "profile_"), if_exists=bool(match["modifier"]))
    return ""


def _drop(match: re.Match[str], users: Users) -> str:
    users.drop(_name(match, "user_"), if_exists=bool(match["modifier"]))
    return ""


def _grant(match: re.Match[str], users: Users) -> str:
    database = frozenset({_name(match, "base_")})
    users.alter(_name(match, "user_"), lambda u: replace(u, databases=u.databases | database))
    return ""


def _revoke(match: re.Match[str], users: Users) -> str:
    database = frozenset({_name(match, "base_")})
    users.alter(_name(match, "user_"), lambda u: replace(u, databases=u.databases - database))
    return ""


def _show(match: re.Match[str], users: Users) -> str:
    return "".join(f"{user.name}\n" for user in users.all())


_ACTIONS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], Users], str]], ...] = (
    (_CREATE, _create),
    (_ALTER, _alter),
    (_DROP, _drop),
    (_CREATE_PROFILE, _create_profile),
    (_DROP_PROFILE, _drop_profile),
    (_GRANT, _grant),
    (_REVOKE, _revoke),
    (_SHOW, _show),
)


def check_settings(user: User, settings: dict[str, str]) -> None:
    """Refuse settings that the user may not change for a request; raises EngineError 164, 452."""
    for name, value in settings.items():
        rule = user.settings.get(name, Setting())
        if value == rule.value:
            continue
        if (user.value("readonly") == "1" and not rule.free) or name == "readonly":
            raise refuse(164, f"Cannot modify '{name}' setting in readonly mode.")
        if rule.fixed:
            raise refuse(452, f"Setting {name} should not be changed.")
        _check_bounds(name, value, rule)


def _check_bounds(name: str, value: str, rule: Setting) -> None:
    if rule.least is not None and _number(name, value) < _number(name, rule.least):
        raise refuse(452, f"Setting {name} shouldn't be less than {rule.least}.")
    if rule.most is not None and _number(name, value) > _number(name, rule.most):
        raise refuse(452, f"Setting {name} shouldn't be greater than {rule.most}.")


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise EngineError(
            452,
            f"Code: 452. DB::Exception: Setting {name} is bounded, so {text!r} must be a number. "
            "(SETTING_CONSTRAINT_VIOLATION)",
        ) from None
