"""The gate: a new version becomes active only if it is not worse on the hold-out."""

from __future__ import annotations

from vlmtool_core.training.records import Comparison, Evaluation, GateDecision

# Below this many hold-out items a difference says little, and the message says so.
FEW = 30


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def judge(
    old: Evaluation | None, new: Evaluation, comparison: Comparison | None, *, margin: float = 0.0
) -> GateDecision:
    """Whether `new` may take over from `old`.

    Parameters
    ----------
    old : the model in use on the same hold-out, None when there is nothing to compare with
    margin : accuracy, in [0, 1), that may be lost without refusal
    """
    if old is None or comparison is None:
        return GateDecision(
            True,
            f"{new.model} is right on {percent(new.accuracy.value)} of {new.count} items of the "
            "hold-out; there is no other model to compare it with.",
        )
    lost = old.accuracy.value - new.accuracy.value
    passed = lost <= margin + 1e-12
    verb = "is not worse than" if passed else "is worse than"
    difference = comparison.difference.value
    low, high = comparison.difference.low, comparison.difference.high
    reason = (
        f"{new.model} {verb} {old.model} on the hold-out: {percent(new.accuracy.value)} against "
        f"{percent(old.accuracy.value)} of {new.count} items "
        f"(difference {100 * difference:+.1f} points, 95 % interval {100 * low:+.1f} to "
        f"{100 * high:+.1f}, p = {comparison.p_value:.3g}; up to {100 * margin:.1f} points may "
        "be lost)."
    )
    if new.count < FEW:
        reason += f" The hold-out has only {new.count} items: label more to be sure."
    return GateDecision(passed, reason)
