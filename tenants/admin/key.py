from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from tenants import keys
from tenants.admin import display
from tenants.admin.base import Admin, Button
from tenants.models import APIKey, Scope


class KeyForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        initial=list(Scope.values),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="What the key may do.",
    )

    class Meta:
        model = APIKey
        fields = ("tenant", "name", "scopes", "expires_at")


def _revoke(key: APIKey) -> str:
    keys.revoke_key(key)
    return f"{key} is revoked: it is refused from now on."


@admin.register(APIKey)
class APIKeyAdmin(Admin):
    intro = (
        "Programs call the API with a key. Its text is shown once, when it is made; only its "
        "SHA-256 is kept. Keys are never deleted, only revoked, so that logs stay readable."
    )
    keep_reason = "Keys are not deleted but revoked, so that the prefixes in logs stay readable."
    form = KeyForm
    fixed_fields = ("tenant", "scopes_text", "expires_at")
    buttons = (
        Button(
            "revoke", "Revoke", "block", _revoke, lambda key: key.revoked_at is None, danger=True
        ),
    )
    list_display = ("name", "key_prefix", "tenant", "state_badge", "scopes_text", "used", "created")
    list_filter: ClassVar[Any] = ("tenant", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("tenant",)
    search_fields = ("prefix", "name", "tenant__slug")
    autocomplete_fields = ("tenant",)
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ("tenant", "name", "scopes", "expires_at")
        return ("tenant", "name", "scopes_text", "expires_at")

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is not None:
            kwargs["form"] = forms.ModelForm
        return super().get_form(request, obj, change, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=["name"])
            return
        row, plaintext = keys.create_key(
            obj.tenant,
            obj.name,
            scopes=obj.scopes,
            expires_at=obj.expires_at,
            created_by=request.user if request.user.is_authenticated else None,
        )
        obj.__dict__.update(row.__dict__)
        form.plaintext = plaintext

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        # response_add() sees the request, not the form; the text lives no longer than both.
        request.new_key_text = getattr(form, "plaintext", None)  # type: ignore[attr-defined]
        return super().construct_change_message(request, form, formsets, add)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: Any = None
    ) -> HttpResponse:
        """Show the key's text in the answer itself: a message would be kept in a cookie."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{obj.name}: copy the key now",
            "key": obj,
            "plaintext": request.new_key_text,  # type: ignore[attr-defined]
            "api": request.build_absolute_uri("/api/v1/"),
        }
        response = TemplateResponse(request, "millrace/key_created.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def head(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {
            "facts": [
                ("Key", display.code(f"mr_{obj.prefix}_…")),
                ("State", self.state_badge(obj)),
                ("Last used", display.ago(obj.last_used_at)),
                ("Made", display.ago(obj.created_at)),
                ("Made by", str(obj.created_by or "command line")),
            ]
        }

    @admin.display(description="Key", ordering="prefix")
    def key_prefix(self, key: APIKey) -> SafeString:
        return display.code(f"mr_{key.prefix}_…")

    @admin.display(description="State")
    def state_badge(self, key: APIKey) -> SafeString:
        if key.revoked_at is not None:
            return display.badge("revoked", "Revoked", f"{key.revoked_at:%Y-%m-%d %H:%M:%S} UTC")
        return display.badge(
            *(("active", "Active") if key.is_usable(timezone.now()) else ("expired", "Expired"))
        )

    @admin.display(description="Scopes")
    def scopes_text(self, key: APIKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description="Last used", ordering="last_used_at")
    def used(self, key: APIKey) -> SafeString:
        return display.ago(key.last_used_at)

    @admin.display(description="Made", ordering="created_at")
    def created(self, key: APIKey) -> SafeString:
        return display.ago(key.created_at)

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> None:
        for key in queryset:
            keys.revoke_key(key)
        messages.success(request, f"Revoked {len(queryset)} keys.")
