"""Tables fit the terminal with one line a row and whole ids. A pipe gets the long texts too."""

import io
import re
import unicodedata
from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from wcwidth import wcswidth

from agewell.producer.cli.dead_tables import COLUMNS as LETTER_COLUMNS
from agewell.producer.cli.queues import QUEUE_COLUMNS, queue_cells
from agewell.producer.cli.tables import Column, fitted, on_one_line, print_table
from agewell.producer.cli.tenant_tables import LOAD_COLUMNS, load_rows
from agewell.producer.cli.terminal import JOB_COLUMNS
from agewell.producer.cli.top import History, screen
from agewell.shared.protocol.levels import LEVELS, level_label
from agewell.shared.queue.started import Started
from agewell.shared.queue.status import LevelStatus, QueueStatus
from agewell.shared.queue.tenant_load import NO_OTHERS, OtherTenants, TenantLoad

ID = "f0918630-e7c0-4e93-8316-00b9d3a3c76e"
ERROR = (
    "写真/日本の夏の写真.jpg: not JPEG, PNG, WebP, TIFF, BMP: it begins with b'hello'\nand goes on"
)
FAILED = [ID, "poisson_blend", "9 bulk", "failed", "64", "12", "12 min 30 s", "3 h 4 min", ERROR]
DONE = [ID, "hsv", "5 normal", "done", "4", "0", "0.1 s", "0.5 s", ""]


def printed(columns, rows, width: int | None, **options) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=width is not None, color_system=None)
    print_table(console, columns, rows, **options)
    return re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue()).splitlines()


@pytest.mark.parametrize("width", range(60, 201, 5))
def test_a_list_of_jobs_has_one_line_a_job_and_no_line_too_long(width: int):
    lines = printed(JOB_COLUMNS, [FAILED, DONE], width)
    assert len(lines) == 3
    assert max(map(wcswidth, lines)) <= width
    for line in lines[1:]:
        assert line.startswith(ID + " ")
    assert " failed " in lines[1]
    assert "写真" in lines[1]


def test_failed_job_shows_operation_and_reason_at_80_columns():
    [_, failed] = printed(JOB_COLUMNS, [FAILED], 80)
    assert "poisson_blend  failed  写真/日本" in failed
    assert failed.endswith("…")


def test_at_80_columns_jobs_without_errors_show_their_times():
    [_, done] = printed(JOB_COLUMNS, [DONE], 80)
    assert done.split("  ")[-2:] == ["0.1 s", "0.5 s"]


def test_at_80_columns_a_dead_letter_shows_its_task():
    letter = [ID, "2 h 4 min ago", "cv", "cv.poisson_blend", "its worker ended 3 times"]
    [_, shown] = printed(LETTER_COLUMNS, [letter], 80)
    assert shown.startswith(f"{ID}  cv.poisson_blend  its worker")


def test_a_pipe_gets_every_column_whole_and_no_blanks_at_the_ends():
    long = [*FAILED[:-1], "x" * 5000 + " end"]
    lines = printed(JOB_COLUMNS, [long, DONE], None)
    assert lines[1].endswith("x end")
    assert all(line == line.rstrip() for line in lines)
    for cell in FAILED[:-1]:
        assert cell in lines[1]


def test_an_id_is_never_cut_however_long_and_however_narrow():
    own = "orders/2026-11-26/" + "a" * 80
    assert printed(JOB_COLUMNS, [[own, *DONE[1:]]], 80)[1].startswith(own)


@pytest.mark.parametrize("hostile", ["\x1b[2J", "a\nb", "a\r\nb", "\x07", "\x9b31m", "[bold]x", "‮"])
def test_nothing_in_a_cell_is_obeyed_by_a_terminal(hostile: str):
    lines = printed(JOB_COLUMNS, [[*FAILED[:-1], hostile]], 200)
    assert len(lines) == 2
    assert all(each.isprintable() for each in lines)
    assert hostile.replace("\r\n", " ").replace("\n", " ") in lines[1] or "\\" in lines[1]


@given(st.text(max_size=40), st.integers(20, 200))
def test_any_text_takes_one_line_within_the_width(text: str, width: int):
    columns = (Column("a"), Column("b", drop=1), Column("c", flexible=True))
    table = fitted(columns, [["x", text[:5], text]], width)
    console = Console(width=300, color_system=None)
    lines = [line for line in console.render_lines(table) if "".join(s.text for s in line).strip()]
    assert 1 <= len(lines) <= 2
    kinds = {unicodedata.category(each) for each in on_one_line(text)}
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("width", "waiting", "left_out"),
    [
        (91, "123,456", []),
        (80, "123,456", ["scheduled"]),
        (80, "1,234,567", ["weight", "scheduled"]),
        (70, "123,456", ["weight", "climbs/min", "scheduled"]),
        (60, "123,456", ["weight", "climbs/min", "scheduled"]),
    ],
)
def test_the_queues_fit(width: int, waiting: str, left_out: list[str]):
    row = [
        "upkeep",
        "5 normal",
        waiting,
        "12 min 30 s",
        "1 min 20 s",
        "e^12.3",
        "12,345",
        "64",
        "8",
    ]
    head, line = printed(QUEUE_COLUMNS, [row], width)
    assert max(map(wcswidth, (head, line))) <= width
    assert [each.heading for each in QUEUE_COLUMNS if each.heading not in head] == left_out


def _queue(name: str) -> QueueStatus:
    levels = tuple(LevelStatus(name, lv, 10_000 * lv, 750.0, 1.5, 12.0) for lv in LEVELS)
    return QueueStatus(name, levels, 2, 3, 0.05, 12.0, 0.5)


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_top_fits_and_draws_the_latest_looks(width: int):
    history = History()
    for _ in range(50):
        history.add(
            [_queue("cv"), _queue("infer")],
            Started(dict.fromkeys(LEVELS, 1), dict.fromkeys(LEVELS, 2.0)),
        )
    history.waiting["cv", 9] = deque([0] * 39 + [8], maxlen=40)
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None)
    console.print(screen([_queue("cv"), _queue("infer")], history, width))
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert max(map(wcswidth, lines)) <= width
    rows = [line for line in lines if "9 bulk" in line]
    assert rows[0].endswith("█")
    assert all(each in rows[0] for each in ("90,000", "12 min 30 s"))


def _with_tenants(name: str, others: OtherTenants = NO_OTHERS) -> QueueStatus:
    loads = [
        TenantLoad(
            f"research/{'x' * 60}", 0.001, 100_000, 0.25, 1_000_000 - number, number, 750.0, 125.0
        )
        for number in range(20)
    ]
    return replace(_queue(name), tenants=tuple(loads), other_tenants=others)


def test_rows_of_tenants_end_with_all_others_of_their_queue():
    queues = [_with_tenants("cv", OtherTenants(7, 1)), _with_tenants("infer"), _queue("upkeep")]
    rows = load_rows(queues)
    assert [row[0] for row in rows] == ["cv"] * 21 + ["infer"] * 20
    assert rows[1][2:] == ["0.001", "100000", "15/m", "999,999", "1", "12 min 30 s", "2 min 5 s"]
    assert rows[20] == ["cv", "(all others)", "-", "-", "-", "7", "1", "-", "-"]
    few = load_rows(queues, most=18)
    assert few[18] == ["cv", "(all others)", "-", "-", "-", "1,999,970", "38", "-", "-"]
    assert few[-1] == ["infer", "(all others)", "-", "-", "-", "1,999,963", "37", "-", "-"]
    assert load_rows([_queue("cv")]) == []


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (95, []),
        (84, ["predicted"]),
        (80, ["most running", "predicted"]),
        (69, ["most running", "rate", "predicted"]),
        (60, ["weight", "most running", "rate", "predicted"]),
    ],
)
def test_the_tenants_fit(width: int, left_out: list[str]):
    [head, *lines] = printed(LOAD_COLUMNS, load_rows([_with_tenants("cv")]), width)
    assert max(map(wcswidth, [head, *lines])) <= width
    assert [each.heading for each in LOAD_COLUMNS if each.heading not in head] == left_out
    assert all("research/x" in line and "12 min 30 s" in line for line in lines)


def test_top_names_five_tenants_of_each_queue():
    history = History()
    history.add([_queue("cv")], Started(dict.fromkeys(LEVELS, 1), dict.fromkeys(LEVELS, 2.0)))
    for queue, expected in ((_with_tenants("cv"), 5), (_queue("cv"), 0)):
        file = io.StringIO()
        Console(file=file, width=120, color_system=None).print(screen([queue], history, 120))
        assert file.getvalue().count("research/x") == expected
        assert ("(all others)" in file.getvalue()) == bool(expected)


def test_a_queue_without_workers_says_so_where_its_prediction_would_be():
    [cells] = [queue_cells(each, each.levels[5], first=True) for each in [_queue("cv")]]
    assert cells[4] == "-"
    away = replace(_queue("cv"), no_prediction="no worker")
    assert queue_cells(away, away.levels[5], first=True)[4] == "no worker"
    known = replace(away.levels[5], predicted_wait_s=125.0)
    assert queue_cells(away, known, first=True)[4] == "2 min 5 s"


def test_the_columns_of_a_table_are_those_of_its_rows():
    assert len(JOB_COLUMNS) == len(FAILED)
    assert level_label(5) == "5 normal"
