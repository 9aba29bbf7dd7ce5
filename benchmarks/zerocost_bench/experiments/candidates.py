"""Time that a warmup takes: NAS-Bench-201 candidates drawn, built and scored by synflow.

Measured in one run, side by side: the pool of a warmup in one process (one torch thread) and in
two, and training passes (forward, backward) of such networks at batch 64, with one core and with
all. The target: 1000 candidates on two cores take no longer than 50 training passes, and two
processes are at least 1.7 times as fast as one.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import time

import numpy as np
import optuna
import torch
from torch import nn

from optuna_zerocost import ModelScorer, Warmup
from optuna_zerocost.samplers import PoolSource
from zerocost_bench import nasbench201

BUILD = functools.partial(nasbench201.build_model, affine=False, live_only=True)


def pool_seconds(candidates: int, processes: int, seed: int) -> float:
    """Time for a pool; the processes are there already, as they are for a second pool."""
    inputs = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    scorer = ModelScorer(BUILD, (inputs, None), ["synflow"], n_jobs=processes)
    study = optuna.create_study()
    warmup = Warmup(candidates=candidates, trials=1, show_progress_bar=False)
    started = time.perf_counter()
    PoolSource(study, scorer, warmup, fixed={}, seed=seed).get(worker=0)
    return time.perf_counter() - started


def training_seconds(networks: int) -> float:
    """Median time of a forward and backward pass at batch 64, over random networks."""
    generator = np.random.default_rng(0)
    inputs = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(64) % 10
    seconds = []
    for _ in range(networks):
        operations = tuple(str(o) for o in generator.choice(nasbench201.OPERATIONS, 6))
        network = nasbench201.build_network(operations).train()
        for measured in (False, True):
            started = time.perf_counter()
            loss = nn.functional.cross_entropy(network(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            if measured:
                seconds.append(time.perf_counter() - started)
    return statistics.mean(seconds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--networks", type=int, default=20, help="networks that are trained")


def run(arguments: argparse.Namespace) -> None:
    """Run and print."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    cores = os.cpu_count() or 1
    pool_seconds(64, 2, seed=10**6)  # starts the processes
    rows = []
    for repeat in range(arguments.repeats):
        torch.set_num_threads(cores)
        of_all = training_seconds(arguments.networks)
        torch.set_num_threads(1)
        of_one = training_seconds(arguments.networks)
        one = pool_seconds(arguments.candidates, 1, seed=repeat)
        two = pool_seconds(arguments.candidates, 2, seed=repeat)
        rows.append((of_one, of_all, one, two))
        print(
            f"run {repeat}: training pass {of_one * 1e3:.0f} ms by one core, "
            f"{of_all * 1e3:.0f} ms by all; {arguments.candidates} candidates in {one:.1f} s by "
            f"one process, in {two:.1f} s by two",
            flush=True,
        )
    of_one, of_all, one, two = (statistics.median(column) for column in zip(*rows, strict=True))
    speedup = statistics.median(row[2] / row[3] for row in rows)
    print(f"medians of {len(rows)} runs, {cores} cores, torch {torch.__version__}:")
    print(
        f"  {arguments.candidates} candidates by two processes: {two / of_one:.1f} training "
        f"passes of one core, {two / of_all:.1f} of all"
    )
    print(f"  two processes are {speedup:.2f} times as fast as one")
    print(
        f"  one candidate by one process: {one / arguments.candidates / of_one:.3f} training "
        f"passes of one core"
    )
