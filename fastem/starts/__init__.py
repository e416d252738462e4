"""Where EM begins, how often, and which result is kept.

For authors of families: the plan of a fit, and what a family gives to it.
"""

from fastem.starts.plan import Family, Plan, Scales, Start, Stop

__all__ = ["Family", "Plan", "Scales", "Start", "Stop"]
