"""What a run of the quickstart came to."""

from __future__ import annotations

from warren.demo.quickstart.figures import Figures

#: One in which all went as promised, at full use.
GOOD = Figures(
    documents=300,
    calls=300,
    refused=0,
    worst_window=60,
    limit=60,
    window=10.0,
    duration=40.0,
    batch=[4, 8, 16, 32],
    ticks=1,
    lost=0,
)
