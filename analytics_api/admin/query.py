from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextareaWidget

from analytics_api.admin import curl
from analytics_api.guard import QueryRefused
from analytics_api.models import SavedQuery, SavedQueryVersion
from analytics_api.selectors import drafts
from analytics_api.services import saved_queries
from tenants.admin import display
from tenants.admin.base import ActRefused, Admin, Button, Question, WholeForm
from tenants.admin.typed import TabularInline
from tenants.warehouse.errors import WarehouseError

#: The button that saves the draft and then asks whether to publish it.
_THEN_PUBLISH = "analytics_api_savedquery_then_publish"


class SavedQueryForm(WholeForm):
    """Edits the draft. Saving it never changes what the endpoint runs: the published version."""

    class Meta:
        model = SavedQuery
        fields = ("tenant", "name", "description", "sql", "parameters")
        widgets: ClassVar[Any] = {
            "sql": UnfoldAdminTextareaWidget(
                attrs={"rows": 12, "spellcheck": "false", "style": "font-family: monospace"}
            ),
            "description": UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        }

    def clean(self) -> dict[str, Any]:
        """For "Save and publish", check the query here, so that errors show at the field."""
        fields = super().clean() or {}
        tenant = fields.get("tenant") or (self.instance.tenant if self.instance.pk else None)
        has_both = {"sql", "parameters"} <= set(fields)
        if not has_both or tenant is None or _THEN_PUBLISH not in self.data:
            return fields
        try:
            saved_queries.check_query(tenant, fields["sql"], fields["parameters"])
        except QueryRefused as error:
            is_about_values = error.code in ("parameter", "example")
            self.add_error("parameters" if is_about_values else "sql", str(error))
        except WarehouseError as error:
            self.add_error(None, f"The query can't be checked now: {error} Save it as a draft.")
        return fields


def _address(query: SavedQuery) -> str:
    return f"/api/v1/queries/{query.name}"


def _refusal(query: SavedQuery) -> str:
    """Why the query can't be published; '' if it can."""
    try:
        saved_queries.check_query(query.tenant, query.sql, query.parameters)
    except QueryRefused as error:
        return f"The query can't be published yet. {error}"
    except WarehouseError as error:
        return f"The query can't be checked now: {error}"
    return ""


def _ask_publish(query: SavedQuery) -> Question:
    number = query.published.number if query.published else None
    now = f"It runs version {number} now" if number else "It answers 404 now"
    return Question(
        (
            f"{_address(query)} will run this SQL from now on. {now}.",
            "Publishing makes a new version. Earlier versions stay listed on the query's page.",
        ),
        code=query.sql,
        refused=_refusal(query),
    )


def _ask_unpublish(query: SavedQuery) -> Question:
    return Question(
        (
            f"{_address(query)} will answer 404 to every key from now on.",
            "The draft and all versions are kept. You can publish the query again at any time.",
        )
    )


def _ask_discard(query: SavedQuery) -> Question:
    number = query.published.number if query.published else None
    return Question(
        (f"Version {number} replaces the draft shown here. You can't undo this.",),
        code=query.sql,
    )


def _unpublish(query: SavedQuery) -> str:
    saved_queries.unpublish(query)
    return f"{query} was unpublished. Its draft and its versions are kept."


def _discard(query: SavedQuery) -> str:
    saved_queries.discard_draft(query)
    return f"The draft of {query} was discarded. This is the published version again."


def _has_draft_beside_version(query: SavedQuery) -> bool:
    return query.is_published and drafts.has_draft(query)


class PublishedFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "published"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return (("yes", "Published"), ("no", "Draft only"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in {"yes", "no"}:
            return queryset
        return queryset.filter(published__isnull=self.value() == "no")


class VersionInline(TabularInline):
    model = SavedQueryVersion
    fk_name = "query"
    fields = ("number", "sql", "published_at", "published_by")
    readonly_fields = fields
    extra = 0
    can_delete = False
    verbose_name_plural = "Published versions"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(SavedQuery)
class SavedQueryAdmin(Admin):
    intro = (
        "A saved query is named SQL over one tenant's tables. Once published, it is an endpoint "
        "that the tenant's API keys may call. Its {name:Type} parameters are the endpoint's."
    )
    form = SavedQueryForm
    fixed_fields = ("tenant", "name")
    inlines = (VersionInline,)
    buttons = (
        Button("publish", "Publish", "publish", shown=drafts.has_draft, ask=_ask_publish),
        Button(
            *("discard", "Discard the draft", "undo", _discard, _has_draft_beside_version),
            ask=_ask_discard,
        ),
        Button(
            *(
                "unpublish",
                "Unpublish",
                "unpublished",
                _unpublish,
                lambda query: query.is_published,
            ),
            ask=_ask_unpublish,
            danger=True,
        ),
    )
    actions_submit_line = ("then_publish",)
    list_display = ("name", "tenant", "state_badge", "address", "summary", "changed")
    list_filter: ClassVar[Any] = ("tenant", PublishedFilter)
    list_select_related = ("tenant", "published")
    label = ("tenant__slug", "name")
    search_fields = ("name", "description", "tenant__slug", "tenant__name")
    autocomplete_fields = ("tenant",)
    fields = ("tenant", "name", "description", "sql", "parameters")

    @admin.action(description="Save and publish …")
    def then_publish(self, request: HttpRequest, obj: Any) -> None:
        """Gives the button its label. ``_after`` decides where it leads."""

    def get_actions_submit_line(self, request: HttpRequest, object_id: Any = None) -> Any:
        """The buttons beside Save. The page behind them checks who may publish this query."""
        unfold: Any = self  # which has no types
        names = self.actions_submit_line if self.has_act_permission(request) else ()
        return [unfold.get_unfold_action(name) for name in names]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Show the buttons here, too: Unfold shows them only on the pages of existing objects."""
        buttons = {"actions_submit_line": self.get_actions_submit_line(request)}
        return super().add_view(request, form_url, buttons | (extra_context or {}))

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: Any = None
    ) -> HttpResponse:
        return self._after(request, obj) or super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        return self._after(request, obj) or super().response_change(request, obj)

    def _after(self, request: HttpRequest, obj: SavedQuery) -> HttpResponse | None:
        """Say what was saved; return a redirect, or None to go where Django would."""
        if _THEN_PUBLISH in request.POST:
            return redirect("admin:analytics_api_savedquery_act", obj.pk, "publish")
        if not drafts.has_draft(obj):
            return None
        endpoint = "It has no endpoint"
        if obj.published:
            endpoint = f"The endpoint still runs version {obj.published.number}"
        messages.info(request, f"The draft was saved. {endpoint} until you publish the draft.")
        if refusal := _refusal(obj):
            messages.warning(request, refusal)
        return None

    def act(self, request: HttpRequest, obj: Any, button: Button) -> str:
        if button.name != "publish":
            return super().act(request, obj, button)
        by: Any = request.user
        try:
            version = saved_queries.publish(obj, by)
        except (QueryRefused, WarehouseError) as error:
            msg = f"The query was not published: {error}"
            raise ActRefused(msg) from error
        return f"Version {version.number} was published. {_address(obj)} runs it from now on."

    def head(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        facts = [("State", self.state_badge(obj))]
        if obj.published is None:
            return {
                "facts": facts,
                "hint": "This is a draft. It has no endpoint until you publish it.",
            }
        facts.append(("Endpoint", self.address(obj)))
        number = obj.published.number
        hint = f"This is a draft. The endpoint runs version {number} until you publish it."
        return {
            "facts": facts,
            "hint": hint if drafts.has_draft(obj) else "",
            "curl": curl.line(request.build_absolute_uri(_address(obj)), obj.published),
        }

    @admin.display(description="State")
    def state_badge(self, query: SavedQuery) -> SafeString:
        if query.published is None:
            return display.badge("draft", "Draft")
        text = f"Version {query.published.number}"
        if not drafts.has_draft(query):
            return display.badge("published", text)
        return display.badge(
            "warning", f"{text} + draft", "The endpoint runs the published version, not the draft."
        )

    @admin.display(description="Endpoint")
    def address(self, query: SavedQuery) -> SafeString:
        return display.code(_address(query) if query.is_published else "")

    @admin.display(description="Description")
    def summary(self, query: SavedQuery) -> SafeString:
        return display.short(query.description)

    @admin.display(description="Changed", ordering="updated_at")
    def changed(self, query: SavedQuery) -> SafeString:
        return display.ago(query.updated_at)
