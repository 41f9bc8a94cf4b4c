"""VMAF: how alike two videos look to people, from 0 to 100, as ffmpeg's libvmaf finds it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

# That of a screen of 1080 lines, seen from three times its height, which scores of other tools usually are of.
_MODEL = "vmaf_v0.6.1"
# libvmaf crashes where pictures have few lines: seen with 16.
SMALLEST_SIDE = 32


class _Pooled(BaseModel):
    mean: Annotated[float, Field(allow_inf_nan=False)]


class _Metrics(BaseModel):
    vmaf: _Pooled


class Report(BaseModel):
    """What libvmaf has written: one entry for each picture, and the mean of all."""

    frames: list[object]
    pooled_metrics: _Metrics

    @property
    def mean(self) -> float:
        """The mean score of all pictures."""
        return self.pooled_metrics.vmaf.mean


def vmaf_filter(report: str) -> str:
    """Return the filter that compares its first input with its second, and writes a report."""
    return f"libvmaf=model=version={_MODEL}:n_threads=1:log_fmt=json:log_path={report}"


def read_report(path: Path) -> Report:
    """Return what a report says. Raises `ValueError` where it is none, `OSError`."""
    try:
        return Report.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path.name} is no report of libvmaf: {error.errors()[0]['msg']}") from error
