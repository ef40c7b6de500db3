"""The login limit: counts attempts in the cache, by account and address, and by address alone.

The first count stops attempts to guess one password, the second attempts to try one password on
many accounts. There is no count by account alone, because with it anyone could lock another
person's account from any address.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest
from redis import Redis
from redis.exceptions import RedisError
from unfold.forms import AuthenticationForm

from tenants.client_address import client_address

log = logging.getLogger(__name__)

#: Failed attempts before an account or an address is locked. The lock ends SECONDS after the first.
BY_ACCOUNT, BY_ADDRESS = 5, 30
SECONDS = 15 * 60
LOCKED = (
    "Too many login attempts. Wait 15 minutes, or ask an operator to run: "
    "manage.py unlock_login USERNAME"
)


def begin(name: str, address: str) -> bool:
    """Count an attempt before the password is checked; returns False if there were too many.

    Counting comes first so that simultaneous attempts can't slip through together. If the cache
    does not answer, every attempt is allowed: an outage must not lock operators out of the admin.
    """
    try:
        account, place = _count(_account(name, address)), _count(_place(address))
    except RedisError:
        log.warning("The cache does not answer, so login attempts are not limited.")
        return True
    return account <= BY_ACCOUNT and place <= BY_ADDRESS


def succeeded(name: str, address: str) -> None:
    """Forget the account's failures, and take this attempt off the address's count."""
    try:
        cache.delete(_account(name, address))
        cache.decr(_place(address))
    except (RedisError, ValueError):
        return


def unlock(url: str, *, name: str = "", address: str = "") -> int:
    """Forget the failures of an account (from all addresses) or of an address.

    Returns the number of counters that were deleted.
    """
    pattern = _account(name, "*") if name else _place(address)
    client: Redis = Redis.from_url(url)
    keys = list(client.scan_iter(match=f"*{pattern}"))
    return int(client.delete(*keys)) if keys else 0


def _count(key: str) -> int:
    cache.add(key, 0, SECONDS)
    try:
        return int(cache.incr(key))
    except ValueError:  # the counter expired between add and incr
        return 1


def _account(name: str, address: str) -> str:
    place = address if address == "*" else _digest(address)
    return f"login:account:{_digest(name.lower())}:{place}"


def _place(address: str) -> str:
    return f"login:address:{_digest(address)}"


def _digest(text: str) -> str:
    """Hash names and addresses: they may contain any character, and the cache must not see them."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _address(request: HttpRequest | None) -> str:
    address = client_address(request.META) if request is not None else None
    return "" if address is None else str(address)


class LimitedBackend(ModelBackend):
    """Django's backend for its own accounts, with the login limit in front."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        """Return the user. Raises PermissionDenied, so that Django tries no other backend."""
        name = username or str(kwargs.get("username", ""))
        address = _address(request)
        if request is not None and not begin(name, address):
            request.login_is_locked = True  # type: ignore[attr-defined]
            raise PermissionDenied
        user = super().authenticate(request, username, password, **kwargs)
        if user is not None and request is not None:
            succeeded(name, address)
        return user


class LoginForm(AuthenticationForm):  # type: ignore[misc]
    """The admin's login form; it says so if an account is locked."""

    def get_invalid_login_error(self) -> ValidationError:
        if getattr(self.request, "login_is_locked", False):
            return ValidationError(LOCKED, code="locked")
        error: ValidationError = super().get_invalid_login_error()
        return error
