"""Tokens of inserts whose part was never stored: dropped before the engine opens its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.embedded.clickhouse import tokens
from millrace.embedded.clickhouse.tokens import forget_lost


class Table:
    """A table's folder as the engine leaves it."""

    def __init__(self, store: Path, name: str = "abc-table") -> None:
        self.folder = store / "store" / name[:3] / name
        self.logs = self.folder / "deduplication_logs"
        self.logs.mkdir(parents=True)

    def parts(self, *names: str) -> None:
        for name in names:
            (self.folder / name).mkdir()

    def log(self, *entries: tuple[int, str, str], number: int = 1) -> None:
        lines = "".join(f"{op}\t{part}\t{block}\n" for op, part, block in entries)
        self.read(number).write_text(lines)

    def read(self, number: int = 1) -> Path:
        return self.logs / f"deduplication_log_{number}.txt"


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


def test_the_token_of_a_part_that_is_missing_is_dropped_and_no_other(
    table: Table, tmp_path: Path
) -> None:
    table.parts("all_1_1_0")
    table.log((1, "all_1_1_0", "a"), (1, "all_2_2_0", "b"))
    assert forget_lost(tmp_path) == 1
    assert table.read().read_text().splitlines()[2:] == ["2\tall_2_2_0\tb"]
    # The next start finds it dropped.
    assert forget_lost(tmp_path) == 0
    assert len(table.read().read_text().splitlines()) == 3


@pytest.mark.parametrize("merged", ["all_1_5_1", "all_2_2_0_9", "all_1_2_1", "all_2_3_1"])
def test_a_part_that_was_merged_or_mutated_is_there(
    merged: str, table: Table, tmp_path: Path
) -> None:
    table.parts(merged)
    table.log((1, "all_2_2_0", "b"))
    assert forget_lost(tmp_path) == 0


@pytest.mark.parametrize(
    "other", ["all_3_5_1", "all_1_1_0", "x_2_2_0", "detached", "tmp_insert_all_2_2_0", "all_2_x_0"]
)
def test_any_other_folder_is_not_that_part(other: str, table: Table, tmp_path: Path) -> None:
    table.parts(other)
    table.log((1, "all_2_2_0", "b"))
    assert forget_lost(tmp_path) == 1


def test_a_file_is_no_part(table: Table, tmp_path: Path) -> None:
    (table.folder / "all_2_2_0").touch()
    table.log((1, "all_2_2_0", "b"))
    assert forget_lost(tmp_path) == 1


def test_a_token_that_was_dropped_and_then_taken_again_counts(table: Table, tmp_path: Path) -> None:
    table.parts("all_3_3_0")
    table.log((1, "all_1_1_0", "a"), (2, "all_1_1_0", "a"), (1, "all_3_3_0", "a"))
    assert forget_lost(tmp_path) == 0
    table.log((1, "all_1_1_0", "a"), (2, "all_1_1_0", "a"), (1, "all_4_4_0", "a"))
    assert forget_lost(tmp_path) == 1


def test_only_the_last_lines_can_be_of_inserts_that_were_running(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_LAST", 2)
    table.log(*((1, f"all_{number}_{number}_0", f"b{number}") for number in range(5)))
    assert forget_lost(tmp_path) == 2
    dropped = table.read().read_text().splitlines()[5:]
    assert dropped == ["2\tall_3_3_0\tb3", "2\tall_4_4_0\tb4"]


def test_logs_are_in_the_order_of_their_numbers_and_the_newest_is_written(
    table: Table, tmp_path: Path
) -> None:
    table.log((1, "all_1_1_0", "a"), number=2)
    table.log((1, "all_9_9_0", "z"), number=9)
    table.log((1, "all_2_2_0", "b"), number=10)
    assert forget_lost(tmp_path) == 2
    assert table.read(2).read_text() == "1\tall_1_1_0\ta\n"
    assert table.read(10).read_text().splitlines()[1:] == ["2\tall_9_9_0\tz", "2\tall_2_2_0\tb"]


@pytest.mark.parametrize("text", ["1\tall_1_1_0\ta\n1\tall_2", "nonsense\n", "1\tall\ta\n"])
def test_a_log_that_cannot_be_read_is_left_alone_and_the_next_table_is_not(
    text: str, table: Table, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table.read().write_text(text)
    other = Table(tmp_path, "xyz-table")
    other.log((1, "all_1_1_0", "a"))
    assert forget_lost(tmp_path) == 1
    assert table.read().read_text() == text
    assert "could not be dropped" in caplog.text
    assert "must be inserted again: all_1_1_0" in caplog.text


def test_on_a_full_disk_no_half_line_is_left(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.log((1, "all_1_1_0", "a"))
    before = table.read().read_text()

    class Full:
        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None: ...

        def writelines(self, lines: object) -> None:
            with table.read().open("a") as file:
                file.write("2\tall_1")
            raise OSError(28, "No space left on device")

    opened = Path.open
    table.read().write_text(before)

    def open_full(self: Path, mode: str = "r", **options: object) -> object:
        if mode == "a" and not seen:
            seen.append(self)
            return Full()
        return opened(self, mode, **options)  # type: ignore[call-overload]

    seen: list[Path] = []
    monkeypatch.setattr(Path, "open", open_full)
    assert forget_lost(tmp_path) == 0
    assert seen == [table.read()]
    assert table.read().read_text() == before


def test_a_table_without_a_log_and_an_empty_folder_are_nothing_to_do(tmp_path: Path) -> None:
    assert forget_lost(tmp_path) == 0
    Table(tmp_path)
    assert forget_lost(tmp_path) == 0
