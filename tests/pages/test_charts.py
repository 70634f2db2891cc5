"""Charts: what is higher is drawn higher, what is later further to the right, and nothing leaves the picture."""

from __future__ import annotations

import pytest

from sb_api.pages.charts import BOTTOM, HEIGHT, LEFT, RIGHT, SIDE, TOP, WIDTH, draw_reliability, draw_series

DAYS = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-05T00:00:00Z"]


def test_points_lie_where_their_moment_and_figure_say() -> None:
    chart = draw_series(
        DAYS, {"recall": [0.0, 0.5, 1.0]}, [("2026-01-03T00:00:00Z", "rollback", "2 to 1")], highest=1.0
    )
    (line,) = chart.lines
    width = WIDTH - LEFT - RIGHT
    assert line.points == [
        (LEFT, HEIGHT - BOTTOM),
        (pytest.approx(LEFT + width / 4, abs=0.1), (HEIGHT - BOTTOM + TOP) / 2),
        (WIDTH - RIGHT, TOP),
    ]
    assert chart.marks == [(pytest.approx(LEFT + width / 2, abs=0.1), "rollback", "2 to 1")]
    assert [label for _, label in chart.x_ticks] == ["2026-01-01", "2026-01-03", "2026-01-05"]
    assert [label for _, label in chart.y_ticks] == ["0", "0.25", "0.5", "0.75", "1"]


def test_a_figure_that_is_not_known_leaves_a_gap() -> None:
    chart = draw_series(DAYS, {"precision": [0.5, None, 0.5]}, [])
    assert chart.lines[0].path.count("M") == 2
    assert len(chart.lines[0].points) == 2


@pytest.mark.parametrize(("highest", "top"), [(0.3, "1"), (7, "10"), (33.78, "50"), (1000, "1000"), (None, "1")])
def test_the_axis_ends_at_a_round_number(highest: float | None, top: str) -> None:
    assert draw_series(DAYS[:1], {"alarms": [highest]}, []).y_ticks[-1][1] == top


def test_one_moment_alone_and_events_outside_it_are_drawn() -> None:
    alone = draw_series(DAYS[:1], {"recall": [1.0]}, [])
    assert alone.lines[0].points == [(LEFT, TOP)]
    assert [label for _, label in alone.x_ticks] == ["00:00:00", "00:00:00", "00:00:01"]
    chart = draw_series(DAYS[:1], {"recall": [1.0]}, [("2025-12-31T23:00:00Z", "training", "0 to 1")])
    assert chart.marks == [(LEFT, "training", "0 to 1")]
    assert chart.lines[0].points[0][0] == WIDTH - RIGHT


def test_bins_of_a_calibration_lie_on_the_diagonal_when_they_are_right() -> None:
    bins = [{"sure": 0.1, "right": 0.1, "count": 4}, {"sure": 1.0, "right": 0.5, "count": 1}]
    (x, y, radius), (right, middle, small) = draw_reliability(bins)
    assert x == pytest.approx(SIDE - y)
    assert (right, middle) == (SIDE, SIDE / 2)
    assert radius > small
    assert draw_reliability([]) == []
