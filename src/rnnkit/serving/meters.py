"""What the server counts, as Prometheus reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass
class Meters:
    """Counters since the worker began."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By route and status."""
    seconds: Counter[float] = field(default_factory=Counter)
    """Requests by the smallest bound above the time they took."""
    seconds_sum: float = 0.0
    refused: int = 0
    tokens: int = 0
    batches: int = 0
    batch_rows: int = 0

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self.requests[route, status] += 1
        self.seconds[next((bound for bound in _BOUNDS if seconds <= bound), float("inf"))] += 1
        self.seconds_sum += seconds

    def text(self, gauges: Mapping[str, float]) -> str:
        """The text format 0.0.4. Args: gauges: what is so now, by name."""
        lines = ["# TYPE rnnkit_requests_total counter"]
        for (route, status), count in sorted(self.requests.items()):
            lines.append(f'rnnkit_requests_total{{route="{route}",status="{status}"}} {count}')
        lines.append("# TYPE rnnkit_request_seconds histogram")
        below = 0
        for bound in _BOUNDS:
            below += self.seconds[bound]
            lines.append(f'rnnkit_request_seconds_bucket{{le="{bound}"}} {below}')
        total = self.seconds.total()
        lines.append(f'rnnkit_request_seconds_bucket{{le="+Inf"}} {total}')
        lines += [f"rnnkit_request_seconds_sum {self.seconds_sum}", f"rnnkit_request_seconds_count {total}"]
        counters = {"refused": self.refused, "tokens": self.tokens, "batches": self.batches}
        for name, value in (counters | {"batch_rows": self.batch_rows}).items():
            lines += [f"# TYPE rnnkit_{name}_total counter", f"rnnkit_{name}_total {value}"]
        for name, value in gauges.items():
            lines += [f"# TYPE rnnkit_{name} gauge", f"rnnkit_{name} {value}"]
        return "\n".join(lines) + "\n"
