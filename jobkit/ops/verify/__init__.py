"""An independent reading of what was committed."""

from jobkit.ops.verify.reading import Verdict, verify
from jobkit.ops.verify.repair import carry_out, plan
from jobkit.ops.verify.violation import Action, Repair, Violation

__all__ = ["Action", "Repair", "Verdict", "Violation", "carry_out", "plan", "verify"]
