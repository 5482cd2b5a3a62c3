"""From FLOPs to GPU-hours, energy and money, and back."""

import math
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """A processor as a price list sees it.

    Attributes:
        name: Key in `ACCELERATORS`.
        peak_flops: Dense bfloat16 peak, FLOP/s, from the maker's data sheet.
        watts: Board power, W.
        dollars_per_hour: Rent, $/h: a rough market price that ages fast; give your own.
    """

    name: str
    peak_flops: float
    watts: float
    dollars_per_hour: float

    def __post_init__(self) -> None:
        for name in ("peak_flops", "watts", "dollars_per_hour"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive, got {value}")


ACCELERATORS = {
    a.name: a
    for a in (
        Accelerator(name="a100", peak_flops=312e12, watts=400, dollars_per_hour=1.5),
        Accelerator(name="h100", peak_flops=989e12, watts=700, dollars_per_hour=2.5),
        Accelerator(name="h200", peak_flops=989e12, watts=700, dollars_per_hour=3.5),
        Accelerator(name="b200", peak_flops=2250e12, watts=1000, dollars_per_hour=5.5),
        Accelerator(name="mi300x", peak_flops=1307e12, watts=750, dollars_per_hour=2.5),
        Accelerator(name="l40s", peak_flops=362e12, watts=350, dollars_per_hour=0.9),
        Accelerator(name="tpu-v5p", peak_flops=459e12, watts=500, dollars_per_hour=4.2),
    )
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """An accelerator at work.

    Attributes:
        accelerator: The processor.
        utilisation: Model FLOPs utilisation, the share of the peak that useful arithmetic reaches; 0.4 is common.
        overhead: Facility power over board power (PUE and host): multiplies energy.
    """

    accelerator: Accelerator
    utilisation: float = 0.4
    overhead: float = 1.2

    def __post_init__(self) -> None:
        if not 0 < self.utilisation <= 1:
            raise ValueError(f"utilisation must be above 0 and at most 1, got {self.utilisation}")
        if not (math.isfinite(self.overhead) and self.overhead >= 1):
            raise ValueError(f"overhead must be 1 or more, got {self.overhead}")

    @property
    def flops_per_hour(self) -> float:
        """Useful FLOPs in an hour."""
        return self.accelerator.peak_flops * self.utilisation * 3600

    def bill(self, flops: float) -> "Bill":
        """What this many FLOPs take."""
        hours = flops / self.flops_per_hour
        return Bill(
            gpu_hours=hours,
            energy_kwh=hours * self.accelerator.watts * self.overhead / 1000,
            dollars=hours * self.accelerator.dollars_per_hour,
        )

    def flops_for_dollars(self, dollars: float) -> float:
        """FLOPs that this much money rents."""
        return dollars / self.accelerator.dollars_per_hour * self.flops_per_hour


@dataclass(frozen=True, kw_only=True)
class Bill:
    """Hours of one accelerator, kilowatt-hours, dollars."""

    gpu_hours: float
    energy_kwh: float
    dollars: float


def accelerator(name: str, **overrides: float | None) -> Accelerator:
    """Look an accelerator up and override its numbers.

    Args:
        name: One of `ACCELERATORS`, in any case, a space or underscore standing for the hyphen (`TPU v5p`).
        **overrides: `peak_flops`, `watts` or `dollars_per_hour`; None keeps the table's.

    Raises:
        ValueError: The name is unknown, or a number is not positive.
    """
    key = "-".join(name.lower().replace("_", " ").split())
    if key not in ACCELERATORS:
        raise ValueError(f"accelerator '{name}' is unknown; choose one of {', '.join(ACCELERATORS)}")
    known = {f.name for f in fields(Accelerator)}
    if unknown := set(overrides) - known:
        raise TypeError(f"no such accelerator property: {', '.join(sorted(unknown))}")
    return replace(ACCELERATORS[key], **{key: value for key, value in overrides.items() if value is not None})
