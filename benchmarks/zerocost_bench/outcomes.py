"""Outcomes of proxies on models, each model in a process of its own: a value or an error."""

from __future__ import annotations

import csv
import logging
import math
import multiprocessing
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from optuna_zerocost import proxies
from zerocost_bench.model_zoo import Load, Settings, Subject

__all__ = ["Job", "Outcome", "Table", "measure", "outcomes_of", "passes"]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one proxy on one model.

    Attributes:
        model: The model's name.
        proxy: The proxy's name.
        value: The score as text, or empty.
        error: Empty, the class of a typed error, "timeout", "build" (the model itself could not be
            built), or "BUG" for whatever must not happen.
        message: What the error said.
        seconds: Of the pass, with all proxies that read from it.
    """

    model: str
    proxy: str
    value: str = ""
    error: str = ""
    message: str = ""
    seconds: str = ""


def passes(names: Iterable[str] | None = None) -> list[tuple[str, ...]]:
    """Return the proxies (by default all), those that read from one pass together."""
    found: dict[Any, list[str]] = {}
    for name in proxies.names() if names is None else names:
        found.setdefault(proxies.describe(name).source, []).append(name)
    # What is quick comes first, so that a crash later on costs little.
    slow = ("redraw", "Kaiming", "single-sample", "loss")
    order = sorted(found, key=lambda source: (source.name in slow, source.name))
    return [tuple(found[source]) for source in order]


def outcomes_of(model: str, subject: Subject, names: Sequence[str], seed: int) -> list[Outcome]:
    """Ask for the proxies of one pass together, and one by one where that raises."""
    before = _state(subject.network)
    start = time.perf_counter()
    found = _ask(model, subject, names, seed)
    if any(outcome.error for outcome in found) and len(names) > 1:
        found = [outcome for name in names for outcome in _ask(model, subject, [name], seed)]
    seconds = f"{time.perf_counter() - start:.2f}"
    changed = _difference(before, _state(subject.network))
    if changed:
        return [Outcome(model, name, error="BUG", message=f"changed {changed}") for name in names]
    return [replace(outcome, seconds=seconds) for outcome in found]


def _ask(model: str, subject: Subject, names: Sequence[str], seed: int) -> list[Outcome]:
    try:
        scores = proxies.score_network(
            subject.network,
            subject.batch,
            names,
            loss_fn=subject.loss_fn,
            forward_fn=subject.forward_fn,
            seed=seed,
        )
    except Exception as error:
        typed = isinstance(error, proxies.ProxyError)
        kind = type(error).__name__
        message = " ".join(str(error).split())
        if not typed:
            kind, message = "BUG", f"untyped {kind}: {message}"
        return [Outcome(model, name, error=kind, message=message) for name in names]
    return [
        Outcome(model, name, value=repr(value))
        if math.isfinite(value)
        else Outcome(model, name, error="BUG", message=f"the score is {value}")
        for name, value in scores.items()
    ]


def _state(network: nn.Module) -> dict[str, Any]:
    """Return copies of what scoring must leave alone."""
    found: dict[str, Any] = {"the global random state": torch.get_rng_state()}
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        found[name] = tensor.detach().clone()
    for name, parameter in network.named_parameters():
        found[f"{name}'s flags"] = (parameter.requires_grad, parameter.grad is None)
    for name, module in network.named_modules():
        hooks = (len(module._forward_hooks), len(module._forward_pre_hooks))
        found[f"{name}'s mode and hooks"] = (module.training, *hooks)
    return found


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return the names of what differs."""
    if before.keys() != after.keys():
        return ", ".join(sorted(before.keys() ^ after.keys()))

    def same(one: Any, other: Any) -> bool:
        if not isinstance(one, Tensor):
            return bool(one == other)
        return one.dtype == other.dtype and torch.equal(one, other)

    return ", ".join(name for name, value in before.items() if not same(value, after[name]))


@dataclass(frozen=True)
class Job:
    """A model and the passes that are to be run on it, in a process of its own."""

    model: str
    load: Load
    settings: Settings
    passes: tuple[tuple[str, ...], ...]

    def run(self, limit: float) -> list[Outcome]:
        """Run the passes; one that takes longer than ``limit`` seconds is ended."""
        found: list[Outcome] = []
        left = list(self.passes)
        while left:
            built, lost = False, ""
            receiver, sender = _PROCESSES.Pipe(duplex=False)
            worker = _PROCESSES.Process(target=_work, args=(self, left, sender), daemon=True)
            worker.start()
            sender.close()
            while left and not lost:
                if not receiver.poll(limit):
                    lost = "timeout"
                    break
                try:
                    outcomes: list[Outcome] = receiver.recv()
                except EOFError:
                    lost = "crash"
                    break
                found += outcomes
                if built or outcomes:
                    reported = {outcome.proxy for outcome in outcomes}
                    left = [names for names in left if not reported.issuperset(names)]
                built = True
            worker.kill()
            worker.join()
            receiver.close()
            if lost:
                # Without a network there is no need to try the other passes.
                names = [name for names in (left[:1] if built else left) for name in names]
                message = f"after {limit:g} s" if lost == "timeout" else "the process died"
                found += [Outcome(self.model, name, "", lost, message) for name in names]
                left = left[1:] if built else []
        return found


# Processes that are started, not forked: torch's threads do not survive a fork.
_PROCESSES: Any = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)


def _work(job: Job, left: Sequence[Sequence[str]], results: Connection) -> None:
    """Report first that the network is built, by an empty list, then each pass."""
    torch.set_num_threads(1)
    quieten()
    try:
        subject = job.load(job.model, job.settings)
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        results.send([Outcome(job.model, n, "", "build", message) for p in left for n in p])
        return
    results.send([])
    for names in left:
        results.send(outcomes_of(job.model, subject, names, job.settings.seed))


def quieten() -> None:
    """Silence what the libraries of models say about themselves."""
    warnings.filterwarnings("ignore")
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    logging.getLogger("transformers").setLevel(logging.ERROR)


def measure(
    jobs: Sequence[Job], *, limit: float, processes: int, keep: Callable[[list[Outcome]], None]
) -> None:
    """Run the jobs, each in a process; ``keep`` gets what came of one as soon as it is there."""
    _PROCESSES.set_forkserver_preload(["torch", "torch._dynamo", "optuna_zerocost.proxies"])
    with ThreadPoolExecutor(processes) as pool:
        running = [pool.submit(job.run, limit) for job in jobs]
        for done in tqdm(as_completed(running), total=len(running), unit="model"):
            keep(done.result())


class Table:
    """The outcomes, in a CSV file that is written whenever a model is done, if there is one."""

    def __init__(self, path: Path | None, models: Sequence[str]) -> None:
        self.path = path
        self.outcomes: dict[tuple[str, str], Outcome] = {}
        self._models = models
        self._lock = threading.Lock()

    def read(self) -> None:
        """Take up what the file holds from an earlier run."""
        if self.path is None or not self.path.exists():
            return
        with self.path.open(newline="") as file:
            for row in csv.DictReader(file):
                if row["model"] in self._models:
                    self.outcomes[row["model"], row["proxy"]] = Outcome(**row)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Add outcomes, in place of earlier ones, and write the file."""
        with self._lock:
            for outcome in outcomes:
                self.outcomes[outcome.model, outcome.proxy] = outcome
            if self.path is None:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("w", newline="") as file:
                columns = [column.name for column in fields(Outcome)]
                writer = csv.DictWriter(file, columns, lineterminator="\n")
                writer.writeheader()
                writer.writerows(asdict(outcome) for outcome in self.sorted())

    def sorted(self) -> list[Outcome]:
        """Return the outcomes, in the order of models and proxies."""
        order = {model: index for index, model in enumerate(self._models)}
        return sorted(self.outcomes.values(), key=lambda o: (order[o.model], o.proxy))

    def missing(self, model: str, names: Iterable[str]) -> list[str]:
        """Return the proxies of which there is no outcome for the model."""
        return [name for name in names if (model, name) not in self.outcomes]
