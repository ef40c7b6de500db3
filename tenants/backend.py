from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth.backends import BaseBackend

from tenants import roles


class MemberBackend(BaseBackend):
    """Gives members the permissions of their role.

    For an object, the role in the object's tenant counts; without one, a role in any tenant.
    """

    def get_user_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        if user_obj.is_anonymous:
            return set()
        if obj is not None:
            return _permissions(user_obj, obj)
        # A page of the admin asks some ten times. Roles are kept on the user as well.
        known: set[str] | None = user_obj.__dict__.get("_role_permissions")
        if known is None:
            known = user_obj.__dict__["_role_permissions"] = _permissions(user_obj, None)
        return known

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        app, _, codename = perm.partition(".")
        verb, _, name = codename.partition("_")
        if user_obj.is_anonymous or (f"{app}.{name}", verb) not in roles.RULES:
            return False
        return roles.may(user_obj, apps.get_model(app, name), verb, obj)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return any(perm.startswith(f"{app_label}.") for perm in self.get_user_permissions(user_obj))


def _permissions(user: Any, obj: Any) -> set[str]:
    return {
        f"{app}.{verb}_{name}"
        for label, verb in roles.RULES
        for app, _, name in [label.partition(".")]
        if roles.may(user, apps.get_model(label), verb, obj)
    }
