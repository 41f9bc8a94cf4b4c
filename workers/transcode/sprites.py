"""Storyboards: small pictures of a video on sheets, and a WebVTT file that says which is of what time. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workers.transcode.ladder import Size

VTT_FILE = "storyboard.vtt"
SHEET_FILES = "sheet-%03d.jpg"

_COLUMNS = _ROWS = 10
# A bar of a player is about a thousand pixels wide: more pictures than that are never seen.
_USUAL_PICTURES, _MOST_PICTURES = 180, 1000
_SHORTEST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Storyboard:
    """How the pictures lie: `count` of size `tile`, one every `interval` seconds, by rows on sheets."""

    interval: float
    count: int
    columns: int
    rows: int
    tile: Size

    @property
    def sheets(self) -> tuple[str, ...]:
        """The files of the sheets."""
        return tuple(SHEET_FILES % (number + 1) for number in range(math.ceil(self.count / (self.columns * self.rows))))

    @property
    def sheet_size(self) -> Size:
        """The size of each sheet; what is left over of the last one is black."""
        return Size(self.columns * self.tile.width, self.rows * self.tile.height)


def lay_out(duration: float, shown: Size, width: int, interval: float | None = None) -> Storyboard:
    """Return the layout of a video of `duration` seconds shown at `shown`, with tiles that are `width` pixels wide."""
    usual = max(_SHORTEST_SECONDS, duration / _USUAL_PICTURES) if interval is None else interval
    every = max(usual, duration / _MOST_PICTURES)
    count = max(1, math.ceil(duration / every - 1e-6))
    # Where there are few, the sheet is no larger than they need.
    columns = min(_COLUMNS, count)
    rows = min(_ROWS, math.ceil(count / columns))
    height = max(2, 2 * round(width * shown.height / shown.width / 2))
    return Storyboard(every, count, columns, rows, Size(width, height))


def sheet_arguments(board: Storyboard, film: str, threads: int) -> list[str]:
    """Return the arguments that make the sheets of a rendition: the picture that is shown at each time."""
    tile, size = board.tile, f"{board.columns}x{board.rows}"
    filters = [
        f"fps=fps=1/{board.interval:.6f}:start_time=0:round=up",
        "tpad=stop=-1:stop_mode=clone",
        f"trim=end_frame={board.count}",
        f"scale={tile.width}:{tile.height}:in_color_matrix=bt709:out_color_matrix=bt601:out_range=full",
        f"format=yuvj420p,tile={size}",
    ]
    return [
        *("-nostdin", "-hide_banner", "-v", "error", "-nostats", "-progress", "pipe:1", "-stats_period", "0.5", "-y"),
        *("-threads", str(threads), "-protocol_whitelist", "file", "-i", f"file:{film}", "-map", "0:v:0"),
        *("-vf", ",".join(filters), "-fps_mode", "passthrough", "-c:v", "mjpeg", "-q:v", "5", "-threads", "1"),
        *(
            "-map_metadata",
            "-1",
            "-fflags",
            "+bitexact",
            "-flags:v",
            "+bitexact",
            "-f",
            "image2",
            f"file:{SHEET_FILES}",
        ),
    ]


def vtt(board: Storyboard, duration: float) -> str:
    """Return the WebVTT file that leads from times to places on the sheets, as players read it."""
    cues = []
    for number in range(board.count):
        sheet, place = divmod(number, board.columns * board.rows)
        row, column = divmod(place, board.columns)
        start, end = number * board.interval, min((number + 1) * board.interval, duration)
        x, y = column * board.tile.width, row * board.tile.height
        where = f"{board.sheets[sheet]}#xywh={x},{y},{board.tile.width},{board.tile.height}"
        cues.append(f"{_stamp(start)} --> {_stamp(max(end, start + 0.001))}\n{where}\n")
    return "\n".join(["WEBVTT\n", *cues])


def _stamp(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 3_600_000:02d}:{milliseconds // 60_000 % 60:02d}:{milliseconds / 1000 % 60:06.3f}"
