"""The last minutes of a device as a sparkline."""

from __future__ import annotations

from typing import Any

from tui.devices.row import DeviceHistory, line
from tui.devices.sparkline import SPAN_S, ReadingHistory


def test_each_part_of_the_span_is_the_mean_of_its_readings_and_holds_until_the_next() -> None:
    trail = ReadingHistory()
    for at, share in ((10.0, 0.2), (11.0, 0.4), (100.0, 1.0)):
        trail.add(at, share)
    assert trail.shares(SPAN_S, 4) == [0.30000000000000004, 0.30000000000000004, 1.0, 1.0]
    assert trail.shares(SPAN_S + 90, 4) == [1.0, 1.0, 1.0, 1.0]
    assert ReadingHistory().shares(0.0, 3) == [None, None, None]


def test_readings_older_than_the_span_are_dropped_except_the_last() -> None:
    trail = ReadingHistory()
    for second in range(1000):
        trail.add(float(second), 0.5)
    assert len(trail._readings) <= SPAN_S + 2
    trail.add(5000.0, 0.9)
    assert trail.shares(5000.0, 2) == [0.5, 0.9]


def test_bars_rise_with_the_load_and_stay_in_their_cells() -> None:
    trail = ReadingHistory()
    for second in range(8):
        trail.add(second * SPAN_S / 8, second / 7)
    assert trail.drawn(SPAN_S - 0.1, 8).plain == "▁▂▃▄▅▆▇█"
    trail.add(SPAN_S, 7.0)
    assert trail.drawn(SPAN_S, 5).cell_len == 5


def test_a_devices_line_shows_its_trails_and_fits(contract: Any) -> None:
    history = DeviceHistory()
    for second, load in enumerate((0.0, 50.0, 100.0)):
        history.add(contract.gpu(utilisation_percent=load), second * 60.0)
    for width in (58, 78, 118, 158):
        shown = line(contract.gpu(utilisation_percent=100.0), width, 20, history, 179.0)
        assert "█" in shown.plain and "▁" in shown.plain
        assert "412" in shown.plain or width < 110
