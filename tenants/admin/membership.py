from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString

from tenants.admin import display
from tenants.admin.base import Admin
from tenants.models import Membership


@admin.register(Membership)
class MembershipAdmin(Admin):
    intro = "Who belongs to which tenant, and what they may do there."
    fixed_fields = ("tenant", "user")
    list_display = ("user", "tenant", "role_badge", "since")
    list_filter: ClassVar[Any] = ("role", "tenant")
    list_select_related = ("user", "tenant")
    search_fields = ("user__username", "user__email", "tenant__slug", "tenant__name")
    autocomplete_fields = ("tenant", "user")

    @admin.display(description="Role", ordering="role")
    def role_badge(self, membership: Membership) -> SafeString:
        return display.badge(membership.role, membership.get_role_display())

    @admin.display(description="Since", ordering="created_at")
    def since(self, membership: Membership) -> SafeString:
        return display.ago(membership.created_at)
