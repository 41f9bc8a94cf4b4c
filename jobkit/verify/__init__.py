"""An independent reading of what was committed."""

from jobkit.verify.finding import Finding
from jobkit.verify.reading import Verdict, verify

__all__ = ["Finding", "Verdict", "verify"]
