"""Results of queueing theory for the simplest queues, to compare the simulation with."""

from __future__ import annotations

import math


def erlang_c(servers: int, load: float) -> float:
    """Probability of waiting in M/M/c; `load` is arrival rate times mean service (below c)."""
    term, total = 1.0, 1.0
    for k in range(1, servers):
        term *= load / k
        total += term
    last = term * load / servers * servers / (servers - load)
    return last / (total + last)


def textbook_mean_wait_s(
    *, arrival_rate: float, mean_service_s: float, servers: int = 1, squared_variation: float = 1.0
) -> float:
    """Mean wait in the stationary M/G/1 (Pollaczek and Khinchine) or M/M/c queue (Erlang C).

    `squared_variation` is variance over squared mean of service: 1 for M/M/1, 0 for M/D/1.
    """
    load = arrival_rate * mean_service_s
    if load >= servers:
        return math.inf
    if servers == 1:
        return load * mean_service_s * (1 + squared_variation) / 2 / (1 - load)
    if squared_variation != 1.0:
        raise ValueError("squared_variation: only M/M/c has a closed form for several counters")
    return erlang_c(servers, load) * mean_service_s / (servers - load)
