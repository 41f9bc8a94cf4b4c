"""What the plugin makes of sources of every kind has the right times, by the bytes alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.media import content, rawtimes
from tests.media.ffmpegs import Ffmpeg
from tests.media.packages import Package, Workshop
from tests.media.sources import SOURCES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=SOURCES)
def package(request: pytest.FixtureRequest, workshop: Workshop, ffmpeg: Ffmpeg) -> Package:
    return workshop.package(request.param, ffmpeg)


def renditions(package: Package) -> list[Path]:
    return [package.folder / rendition.blob for rendition in package.result.renditions]


def close(found: list[float], wanted: tuple[float, ...], *, shift: float, tolerance: float) -> bool:
    return len(found) == len(wanted) and all(
        abs(a - shift - b) <= tolerance for a, b in zip(found, wanted, strict=True)
    )


def shift_of(path: Path, package: Package) -> float:
    """Return how much later than in the source all is shown: by less than a frame, as sound may begin before 0."""
    wanted = package.source.pictures[0]
    shift = min((float(sample.shown) - wanted for sample in rawtimes.presented(path)["vide"]), key=abs)
    assert abs(shift) < package.source.frame
    return shift


def test_segments_and_packets_have_their_times(package: Package) -> None:
    problems = []
    variants = package.master().variants
    assert len(variants) == len(package.result.renditions)
    for variant in variants:
        problems += rawtimes.timing_problems(variant, package.folder / f"{variant.name}.mp4", package.source.frame)
    assert not problems, "\n".join(problems)


def test_playlists_last_as_long_as_the_source(package: Package) -> None:
    for variant in package.master().variants:
        assert float(variant.main.seconds) == pytest.approx(package.source.seconds, abs=2 * package.source.frame)


def test_every_picture_is_there_at_its_time(package: Package) -> None:
    """A picture may be there more than once, where it lasts long; what is shown between is told by the flashes."""
    for path in renditions(package):
        shift = shift_of(path, package)
        shown = [float(sample.shown) - shift for sample in rawtimes.presented(path)["vide"]]
        missing = [time for time in package.source.pictures if min(abs(each - time) for each in shown) > 0.005]
        assert missing == []


def test_flashes_and_beeps_of_the_files_are_those_of_the_source(package: Package) -> None:
    for path in renditions(package):
        shift = shift_of(path, package)
        flashes, beeps = content.flashes(path), content.beeps(path)
        assert close(flashes, package.source.flashes, shift=shift, tolerance=0.005), (flashes, shift)
        assert close(beeps, package.source.beeps, shift=shift, tolerance=0.01), (beeps, shift)


def test_pictures_have_the_size_at_which_they_are_to_be_seen(package: Package) -> None:
    first = package.result.renditions[0]
    assert (first.width, first.height) == package.source.size
