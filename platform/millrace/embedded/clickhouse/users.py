"""The users created with CREATE USER: their passwords, the databases they may read, their settings.

A user has settings of its own or a profile, which several users may share. All of them are in one
JSON file, which is replaced as a whole, so that a crash leaves either the old or the new file.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from millrace.embedded.clickhouse.errors import refuse


@dataclass(frozen=True)
class Setting:
    """A user's setting: its value, its bounds, and whether a request may change it.

    ``fixed`` is ClickHouse's READONLY, ``free`` its CHANGEABLE_IN_READONLY.
    """

    value: str | None = None
    least: str | None = None
    most: str | None = None
    fixed: bool = False
    free: bool = False


@dataclass(frozen=True)
class User:
    """A user. ``digest`` is the SHA-256 of the password in hex; ``databases`` may be read.

    ``also`` has digests of additional passwords. ``profile`` names a settings profile that applies
    in addition to ``settings``.
    """

    name: str
    digest: str
    database: str = ""
    settings: dict[str, Setting] = field(default_factory=dict)
    databases: frozenset[str] = frozenset()
    admin: bool = False
    also: frozenset[str] = frozenset()
    profile: str = ""

    def accepts(self, password: str) -> bool:
        """Whether this is one of the user's passwords; takes the same time for any wrong one."""
        sent = hashlib.sha256(password.encode("utf-8", "surrogateescape")).hexdigest()
        is_right = False
        # All digests are compared, without stopping early, so that the time says nothing.
        for digest in (self.digest, *self.also):
            is_right |= hmac.compare_digest(sent, digest.lower())
        return is_right

    def value(self, setting: str) -> str | None:
        """A setting's value for this user; None if it is not set."""
        own = self.settings.get(setting)
        return own.value if own else None


Profile = dict[str, Setting]
#: The type of an entry (user or profile), and its name.
_Key = tuple[type, str]


def _settings(stored: dict[str, dict[str, str | bool | None]]) -> Profile:
    return {name: Setting(**value) for name, value in stored.items()}  # type: ignore[arg-type]


def _load(path: Path) -> tuple[dict[str, User], dict[str, Profile]]:
    entries = json.loads(path.read_text()) if path.exists() else []
    users = {
        entry["name"]: User(
            name=entry["name"],
            digest=entry["digest"],
            database=entry["database"],
            settings=_settings(entry["settings"]),
            databases=frozenset(entry["databases"]),
            also=frozenset(entry.get("also", ())),
            profile=entry.get("profile", ""),
        )
        for entry in entries
        if "digest" in entry
    }
    profiles = {
        entry["name"]: _settings(entry["settings"]) for entry in entries if "digest" not in entry
    }
    return users, profiles


def _entry(name: str, entity: User | Profile) -> str:
    if isinstance(entity, User):
        plain = asdict(replace(entity, databases=frozenset(), also=frozenset()))
        lists = {"databases": sorted(entity.databases), "also": sorted(entity.also)}
        return json.dumps(plain | lists)
    stored = {key: asdict(setting) for key, setting in entity.items()}
    return json.dumps({"name": name, "settings": stored})


class Users:
    """The users and profiles in the file, and the administrator, who is not in the file."""

    def __init__(self, path: Path, admin: User) -> None:
        self._path = path
        self._admin = admin
        self._lock = threading.Lock()
        self._users, self._profiles = _load(path)
        self._texts: dict[_Key, tuple[User | Profile, str]] = {}

    def find(self, name: str) -> User | None:
        """The user of that name, or the administrator, with the profile's settings included."""
        if name == self._admin.name:
            return self._admin
        user = self._users.get(name)
        if user is None or not user.profile:
            return user
        return replace(user, settings={**self._profiles.get(user.profile, {}), **user.settings})

    def all(self) -> list[User]:
        """All users except the administrator, sorted by name."""
        return sorted(self._users.values(), key=lambda user: user.name)

    def authenticate(self, name: str, password: str) -> User:
        """The user with that name and password; raises EngineError 516, whichever is wrong."""
        user = self.find(name)
        if user is None or not user.accepts(password):
            raise refuse(
                516,
                f"{name}: Authentication failed: password is incorrect, or there is no user with "
                "such name.",
            )
        return user

    def create(self, user: User, *, if_not_exists: bool, or_replace: bool) -> None:
        """Add a user; raises EngineError 493 if the name is taken."""
        with self._lock:
            if self.find(user.name) is not None and not (or_replace and user.name in self._users):
                if if_not_exists:
                    return
                raise refuse(493, f"user `{user.name}` already exists.")
            self._store({**self._users, user.name: user})

    def alter(self, name: str, change: Callable[[User], User], *, if_exists: bool = False) -> None:
        """Change a user; raises EngineError 192 if no user has that name."""
        with self._lock:
            user = self._users.get(name)
            if user is None:
                if if_exists:
                    return
                raise refuse(192, f"There is no user `{name}` in user directories.")
            self._store({**self._users, name: change(user)})

    def drop(self, name: str, *, if_exists: bool) -> None:
        """Remove a user; raises EngineError 192 if no user has that name."""
        with self._lock:
            if name not in self._users:
                if if_exists:
                    return
                raise refuse(192, f"There is no user `{name}` in user directories.")
            self._store({key: user for key, user in self._users.items() if key != name})

    def set_profile(
        self, name: str, settings: Profile, *, if_not_exists: bool, or_replace: bool
    ) -> None:
        """Add a profile; raises EngineError 493 if the name is taken."""
        with self._lock:
            if name in self._profiles and not or_replace:
                if if_not_exists:
                    return
                raise refuse(493, f"settings profile `{name}` already exists.")
            self._store(self._users, {**self._profiles, name: settings})

    def has_profile(self, name: str) -> bool:
        """Whether a profile has that name."""
        return name in self._profiles

    def drop_profile(self, name: str, *, if_exists: bool) -> None:
        """Remove a profile; raises EngineError 180 if no profile has that name."""
        with self._lock:
            if name not in self._profiles:
                if if_exists:
                    return
                raise refuse(180, f"There is no settings profile `{name}` in user directories.")
            kept = {key: profile for key, profile in self._profiles.items() if key != name}
            self._store(self._users, kept)

    def _store(self, users: dict[str, User], profiles: dict[str, Profile] | None = None) -> None:
        profiles = self._profiles if profiles is None else profiles
        named: dict[_Key, User | Profile] = {(User, name): user for name, user in users.items()}
        named |= {(dict, name): profile for name, profile in profiles.items()}
        texts = {key: self._text(key, entity) for key, entity in named.items()}
        new = self._path.with_suffix(".new")
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write("[" + ",\n".join(text for _, text in texts.values()) + "]\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        self._users, self._profiles, self._texts = users, profiles, texts

    def _text(self, key: _Key, entity: User | Profile) -> tuple[User | Profile, str]:
        """The entry with its JSON, from the cache if unchanged: there may be thousands of users."""
        kept = self._texts.get(key)
        return kept if kept and kept[0] is entity else (entity, _entry(key[1], entity))
