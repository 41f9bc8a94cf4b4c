"""What is wrong with a deployment, and what to change: for `jobkit doctor`, and for whoever else asks."""

from jobkit.ops.diagnosis.all_checks import diagnose

__all__ = ["diagnose"]
