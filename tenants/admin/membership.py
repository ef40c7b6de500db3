from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextInputWidget

from tenants.admin import display
from tenants.admin.base import Admin
from tenants.admin.scope import is_operator
from tenants.models import Membership
from tenants.services.members import let_in


class InvitationForm(forms.ModelForm):  # type: ignore[type-arg]
    """Owners type a username or e-mail address in full: they can't browse other tenants' people."""

    person = forms.CharField(
        max_length=254,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="The username or e-mail address of an existing account. Only operators create "
        "accounts.",
    )

    class Meta:
        model = Membership
        fields = ("tenant", "role")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        text, tenant = data.get("person"), data.get("tenant")
        if not text or tenant is None:
            return data
        people = User.objects.filter(Q(username=text) | Q(email__iexact=text), is_active=True)
        person = people.first() if people.count() == 1 else None
        if person is None:
            self.add_error("person", "No single active account has this username or address.")
        elif Membership.objects.filter(tenant=tenant, user=person).exists():
            self.add_error("person", "This person is already a member.")
        else:
            self.instance.user = person
        return data


@admin.register(Membership)
class MembershipAdmin(Admin):
    intro = (
        "Who belongs to which tenant, and what they may do there. Owners may do everything, "
        "including members, keys and the audit log. Editors change connections, tables, sources "
        "and queries. Viewers can only look."
    )
    fixed_fields = ("tenant", "user")
    list_display = ("user", "tenant", "role_badge", "since")
    list_filter: ClassVar[Any] = ("role", "tenant")
    list_select_related = ("user", "tenant")
    search_fields = ("user__username", "user__email", "tenant__slug", "tenant__name")
    autocomplete_fields = ("tenant", "user")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None and not is_operator(request.user):
            return ("tenant", "person", "role")
        return ("tenant", "user", "role")

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is None and not is_operator(request.user):
            kwargs["form"] = InvitationForm
        return super().get_form(request, obj, change, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not _is_own(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not _is_own(request, obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        let_in(obj.user)

    @admin.display(description="Role", ordering="role")
    def role_badge(self, membership: Membership) -> SafeString:
        return display.badge(membership.role, membership.get_role_display())

    @admin.display(description="Since", ordering="created_at")
    def since(self, membership: Membership) -> SafeString:
        return display.ago(membership.created_at)


def _is_own(request: HttpRequest, obj: Any) -> bool:
    """Whether it is the user's own membership.

    Owners can't change or delete it, so they can't give up their role by mistake or leave the
    tenant without an owner.
    """
    return obj is not None and not is_operator(request.user) and obj.user_id == request.user.pk
