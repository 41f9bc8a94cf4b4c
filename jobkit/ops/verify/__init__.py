"""An independent reading of what was committed."""

from jobkit.ops.verify.finding import Action, Finding, Repair
from jobkit.ops.verify.reading import Verdict, verify
from jobkit.ops.verify.repair import carry_out, plan

__all__ = ["Action", "Finding", "Repair", "Verdict", "carry_out", "plan", "verify"]
