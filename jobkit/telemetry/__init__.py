"""What jobkit says of itself: metrics, spans and log lines, and how they leave the process."""

from jobkit.telemetry.events import Telemetry

__all__ = ["Telemetry"]
