"""An independent reading of what was committed."""

from jobkit.verify.finding import Action, Finding, Repair
from jobkit.verify.reading import Verdict, verify
from jobkit.verify.repair import carry_out, plan

__all__ = ["Action", "Finding", "Repair", "Verdict", "carry_out", "plan", "verify"]
