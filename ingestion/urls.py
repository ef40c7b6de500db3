"""URLs of ingestion's API, below ``/api/v1/``."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from ingestion.api.backfills import (
    BackfillsView,
    CancelBackfillView,
    ResumeBackfillView,
    UploadBackfillView,
)
from ingestion.api.inference import InferView
from ingestion.api.kept_columns import KeptColumnsView
from ingestion.api.mending import (
    CancelRunsView,
    DiscardView,
    DownloadView,
    ReplayView,
    RunsView,
)
from ingestion.api.removal import (
    ArchiveConnectionView,
    ArchiveSourceView,
    ArchiveTableView,
    DeleteConnectionView,
    DeleteSourceView,
    DeleteTableView,
    RestoreSourceView,
)
from ingestion.api.reset import ResetView
from ingestion.api.sources import PauseView, QuarantineView, ResumeView, SourcesView, SourceView
from ingestion.api.views import EventsView

urlpatterns: list[URLPattern | URLResolver] = [
    path("events/<str:name>", EventsView.as_view(), name="events"),
    path("infer", InferView.as_view(), name="infer"),
    path("sources", SourcesView.as_view(), name="sources"),
    path("sources/<str:name>", SourceView.as_view(), name="source"),
    path("sources/<str:name>/pause", PauseView.as_view(), name="pause-source"),
    path("sources/<str:name>/resume", ResumeView.as_view(), name="resume-source"),
    path("sources/<str:name>/reset", ResetView.as_view(), name="reset-source"),
    path("sources/<str:name>/quarantine", QuarantineView.as_view(), name="source-quarantine"),
    path("sources/<str:name>/quarantine/replay", ReplayView.as_view(), name="replay-quarantine"),
    path("sources/<str:name>/quarantine/discard", DiscardView.as_view(), name="discard-quarantine"),
    path("sources/<str:name>/quarantine/download", DownloadView.as_view(), name="download-misfits"),
    path("sources/<str:name>/quarantine/runs", RunsView.as_view(), name="quarantine-runs"),
    path("sources/<str:name>/quarantine/cancel", CancelRunsView.as_view(), name="cancel-runs"),
    path("sources/<str:name>/archive", ArchiveSourceView.as_view(), name="archive-source"),
    path("sources/<str:name>/restore", RestoreSourceView.as_view(), name="restore-source"),
    path("sources/<str:name>/delete", DeleteSourceView.as_view(), name="delete-source"),
    path("tables/<str:name>/backfills", BackfillsView.as_view(), name="backfills"),
    path(
        "tables/<str:name>/backfills/upload", UploadBackfillView.as_view(), name="upload-backfill"
    ),
    path(
        "tables/<str:name>/backfills/cancel", CancelBackfillView.as_view(), name="cancel-backfill"
    ),
    path(
        "tables/<str:name>/backfills/resume", ResumeBackfillView.as_view(), name="resume-backfill"
    ),
    path("tables/<str:name>/archive", ArchiveTableView.as_view(), name="archive-table"),
    path("tables/<str:name>/kept-columns", KeptColumnsView.as_view(), name="kept-columns"),
    path("tables/<str:name>/delete", DeleteTableView.as_view(), name="delete-table"),
    path(
        "connections/<str:name>/archive",
        ArchiveConnectionView.as_view(),
        name="archive-connection",
    ),
    path("connections/<str:name>/delete", DeleteConnectionView.as_view(), name="delete-connection"),
]
