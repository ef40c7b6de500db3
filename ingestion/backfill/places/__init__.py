"""Where files of history are: on this machine, in S3 or Google Cloud Storage, or on the web."""

from ingestion.backfill.places.expand import expand
from ingestion.backfill.places.local import LocalPlace, UploadedPlace
from ingestion.backfill.places.place import RemotePlace, RemoteStream

__all__ = ["LocalPlace", "RemotePlace", "RemoteStream", "UploadedPlace", "expand"]
