from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminPasswordWidget

from ingestion.models import Connection, Source
from tenants.admin import display
from tenants.admin.base import Admin


class ConnectionForm(forms.ModelForm):  # type: ignore[type-arg]
    """The password is written, never shown: an empty field keeps the one that is stored."""

    password = forms.CharField(
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Encrypted at rest and never shown again. Leave it empty to keep what is stored.",
    )
    forget_password = forms.BooleanField(
        required=False, label="Forget the password", help_text="For a broker that asks for none."
    )

    class Meta:
        model = Connection
        fields = ("tenant", "name", "kind", "addresses", "username", "password", "options")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stored = self.instance.password
        self.initial["password"] = ""
        if not self._stored:
            del self.fields["forget_password"]

    def clean_password(self) -> str:
        given: str = self.cleaned_data["password"]
        return given or self._stored

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if found.get("forget_password"):
            found["password"] = ""
        return found


@admin.register(Connection)
class ConnectionAdmin(Admin):
    intro = (
        "How to reach a broker. A tenant's own, or shared by all where no tenant is given. "
        "Sources read topics and queues of it."
    )
    form = ConnectionForm
    fixed_fields = ("tenant", "kind")
    list_display = ("name", "kind", "owner", "addresses", "login", "source_count")
    list_filter: ClassVar[Any] = ("kind", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("name", "addresses", "tenant__slug", "tenant__name")
    autocomplete_fields = ("tenant",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = ("tenant", "name", "kind", "addresses", "username", "password")
        forget = ("forget_password",) if obj is not None and obj.password else ()
        return (*fields, *forget, "options")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).annotate(source_total=Count("sources"))
        return rows

    @admin.display(description="Tenant", ordering="tenant")
    def owner(self, connection: Connection) -> Any:
        return display.link(connection.tenant) if connection.tenant else "shared"

    @admin.display(description="User")
    def login(self, connection: Connection) -> SafeString:
        return display.code(connection.username)

    @admin.display(description="Sources", ordering="source_total")
    def source_count(self, connection: Any) -> SafeString:
        return display.listing(Source, connection.source_total, connection__id__exact=connection.pk)
