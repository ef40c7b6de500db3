"""Pages of Django's users and groups, in Unfold's look and recorded in the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from tenants.admin.audited import Audited
from tenants.admin.scope import is_operator
from tenants.admin.typed import ModelAdmin

admin.site.unregister(User)
admin.site.unregister(Group)

if TYPE_CHECKING:
    _Mixed = ModelAdmin

    class _UserAdmin(Audited, DjangoUserAdmin[User]):
        pass

    class _GroupAdmin(Audited, DjangoGroupAdmin):
        pass

else:
    _Mixed = object

    class _UserAdmin(Audited, DjangoUserAdmin, ModelAdmin):
        pass

    class _GroupAdmin(Audited, DjangoGroupAdmin, ModelAdmin):
        pass


class OperatorsOnly(_Mixed):
    """Only operators see these pages: users who can change users or groups can grant themselves
    anything.
    """

    def get_queryset(self, request: HttpRequest) -> Any:
        """Does not reveal whether other accounts exist."""
        rows = super().get_queryset(request)
        return rows if is_operator(request.user) else rows.none()

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_operator(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_operator(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request.user)


@admin.register(User)
class UserAdmin(OperatorsOnly, _UserAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(OperatorsOnly, _GroupAdmin):
    pass
