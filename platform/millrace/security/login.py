"""A limit on tries to log in, counted in the cache: by account and address, and by address.

The first stops guessing one password, the second trying one password on many accounts. Nobody can
lock another's account from elsewhere, as a count by account alone would let them.
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

#: Failures after which it is closed, and for how many seconds it is, from the first of them on.
BY_ACCOUNT, BY_ADDRESS = 5, 30
SECONDS = 15 * 60
LOCKED = (
    "Too many tries to log in. Wait 15 minutes, or have an operator run: "
    "manage.py unlock_login USERNAME"
)


def begin(name: str, address: str) -> bool:
    """Count a try before the password is looked at; False: there were too many.

    Counted first, so that tries at the same time can't slip through together. Where the cache
    does not answer nobody is kept out: an outage must not lock operators out of their admin.
    """
    try:
        account, place = _count(_account(name, address)), _count(_place(address))
    except RedisError:
        log.warning("The cache does not answer; tries to log in are not limited.")
        return True
    return account <= BY_ACCOUNT and place <= BY_ADDRESS


def succeeded(name: str, address: str) -> None:
    """Forget the account's failures; this one was no failure of the address."""
    try:
        cache.delete(_account(name, address))
        cache.decr(_place(address))
    except (RedisError, ValueError):
        return


def unlock(url: str, *, name: str = "", address: str = "") -> int:
    """Forget the failures of an account, from wherever, or of an address; how many there were."""
    pattern = _account(name, "*") if name else _place(address)
    client: Redis = Redis.from_url(url)
    found = list(client.scan_iter(match=f"*{pattern}"))
    return int(client.delete(*found)) if found else 0


def _count(key: str) -> int:
    cache.add(key, 0, SECONDS)
    try:
        return int(cache.incr(key))
    except ValueError:  # it ended in between
        return 1


def _account(name: str, address: str) -> str:
    place = address if address == "*" else _digest(address)
    return f"login:account:{_digest(name.lower())}:{place}"


def _place(address: str) -> str:
    return f"login:address:{_digest(address)}"


def _digest(text: str) -> str:
    """Names and addresses may hold anything, and are not for the cache to know."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _address(request: HttpRequest | None) -> str:
    found = client_address(request.META) if request is not None else None
    return "" if found is None else str(found)


class LimitedBackend(ModelBackend):
    """Django's own accounts, while there were not too many tries."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        """The user; PermissionDenied ends the search of backends."""
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
    """Says so where it was not the password."""

    def get_invalid_login_error(self) -> ValidationError:
        if getattr(self.request, "login_is_locked", False):
            return ValidationError(LOCKED, code="locked")
        error: ValidationError = super().get_invalid_login_error()
        return error
