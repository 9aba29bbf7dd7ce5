"""Measure the scores of a benchmark's networks: ``zerocost-bench scores``.

The score of an architecture is what :class:`~optuna_zerocost.ModelScorer` gives for it, so it
depends on the architecture and the settings alone: not on the order, the number of processes, or
an interruption.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from optuna.trial import FixedTrial

from optuna_zerocost import ModelScorer, __version__, proxies
from zerocost_bench.benchmark import Architecture, Benchmark
from zerocost_bench.costs import measure_training_pass
from zerocost_bench.failure import BenchmarkError
from zerocost_bench.files import make_folder, open_arrays, write_whole
from zerocost_bench.tasks import run_tasks

__all__ = ["Measurement", "measure", "measure_networks"]

_PIECE = 25
# What has to be built, but needs no samples.
_WITHOUT_IMAGES = ("params", "flops", "l2_norm", "synflow", "logsynflow")


@dataclass(frozen=True)
class Measurement:
    """A plan of what is measured, of which networks.

    Attributes:
        benchmark: Whose networks these are.
        proxies: Names of proxies.
        networks: Number of networks, drawn at random; ``None`` for all.
        images: A file that the benchmark reads; its first samples make the minibatch. ``None``
            for proxies that need none.
        batch_size: Images in the minibatch. zico gets a second minibatch, of the images that come
            next.
        seed: Seeds weights and passes, as in :class:`~optuna_zerocost.ModelScorer`.
        sample_seed: Seeds the choice of networks; fewer networks are a part of more.
        options: Names of the benchmark's options of a network.
    """

    benchmark: Benchmark
    proxies: tuple[str, ...]
    networks: int | None = None
    images: str | None = None
    batch_size: int = 64
    seed: int = 0
    sample_seed: int = 0
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.proxies)) < len(self.proxies) or not self.proxies:
            raise BenchmarkError(f"cannot measure {self.proxies}: name proxies, each once")
        try:
            described = [proxies.describe(name) for name in self.proxies]
        except proxies.UnknownProxyError as error:
            raise BenchmarkError(str(error)) from error
        lacking = [p.name for p in described if p.name not in _WITHOUT_IMAGES]
        if lacking and self.images is None:
            raise BenchmarkError(
                f"{', '.join(lacking)} cannot be measured without images; name a file that has "
                f"some with --images, or only proxies among {', '.join(_WITHOUT_IMAGES)}"
            )
        known = len(self.benchmark.architectures())
        if self.networks is not None and not 1 <= self.networks <= known:
            raise BenchmarkError(f"cannot measure {self.networks} networks; there are {known}")
        unknown = set(self.options) - set(self.benchmark.options)
        if unknown:
            options = "; ".join(f"{k}: {v}" for k, v in self.benchmark.options.items()) or "none"
            raise BenchmarkError(
                f"{self.benchmark.title} has no option {', '.join(sorted(unknown))}; it has "
                f"{options}"
            )

    def indices(self) -> list[int]:
        """Return the places of the chosen networks among the architectures, sorted."""
        known = len(self.benchmark.architectures())
        if self.networks is None:
            return list(range(known))
        order = np.random.default_rng(self.sample_seed).permutation(known)
        return sorted(int(index) for index in order[: self.networks])

    @property
    def counted(self) -> set[str]:
        """The scores that are counted without building a network."""
        return set(self.proxies) & set(self.benchmark.counts(self.benchmark.architectures()[0]))

    @property
    def builds(self) -> bool:
        """True if a network has to be built: what is counted needs none."""
        return self.counted != set(self.proxies)

    def scorer(self) -> ModelScorer | None:
        """Return what scores the networks; ``None`` if everything asked for is counted."""
        if not self.builds:
            return None
        names = [name for name in self.proxies if name not in self.counted]
        build = functools.partial(self.benchmark.build_model, options=self.options)
        return ModelScorer(build, self._batch(), names, seed=self.seed, on_undefined="omit")

    def _batch(self) -> Any:
        if self.images is None:
            return torch.ones(1, *self.benchmark.input_shape), None
        batches = 2 if "zico" in self.proxies else 1
        images, labels = self.benchmark.read_batch(Path(self.images), batches * self.batch_size)
        pairs = [
            (images[start : start + self.batch_size], labels[start : start + self.batch_size])
            for start in range(0, len(images), self.batch_size)
        ]
        return proxies.Minibatches(*pairs) if batches > 1 else pairs[0]

    def command(self) -> str:
        """Return the command that measures this."""
        words = ["zerocost-bench scores", "--benchmark", self.benchmark.name]
        words += ["--proxies", ",".join(self.proxies)]
        if self.networks is not None:
            words += ["--networks", str(self.networks), "--sample-seed", str(self.sample_seed)]
        if self.images is not None:
            words += ["--images", Path(self.images).name, "--batch-size", str(self.batch_size)]
        words += ["--seed", str(self.seed)]
        words += ["--options", ",".join(self.options)] if self.options else []
        return " ".join(words)

    def about(self) -> dict[str, Any]:
        """Return the settings, with the images by content, and the versions that score."""
        settings = dataclasses.asdict(self) | {"benchmark": self.benchmark.name}
        if self.images is not None:
            content = hashlib.sha256(Path(self.images).read_bytes()).hexdigest()
            settings["images"] = {"name": Path(self.images).name, "sha256": content}
        return {
            "settings": settings,
            "optuna_zerocost": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "machine": platform.machine(),
        }


def measure_networks(
    measurement: Measurement, indices: Sequence[int]
) -> dict[str, npt.NDArray[Any]]:
    """Score networks, on one torch thread.

    Args:
        measurement: What is measured; its own choice of networks does not matter.
        indices: Places among the benchmark's architectures.

    Returns:
        Proxy → scores, float64, NaN where a proxy is undefined; and ``"seconds"``, the time of
        the processor for building and scoring each network, float32.
    """
    scorer = _cached_scorer(measurement)
    everything = measurement.benchmark.architectures()
    values = {name: np.full(len(indices), np.nan) for name in measurement.proxies}
    seconds = np.zeros(len(indices), dtype=np.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for row, index in enumerate(indices):
            started = time.process_time()
            for name, value in _score(measurement, scorer, everything[index]).items():
                values[name][row] = value
            seconds[row] = time.process_time() - started
    finally:
        torch.set_num_threads(threads)
    return {**values, "seconds": seconds}


@functools.lru_cache(maxsize=1)
def _cached_scorer(measurement: Measurement) -> ModelScorer | None:
    return measurement.scorer()


def _score(
    measurement: Measurement, scorer: ModelScorer | None, architecture: Architecture
) -> dict[str, float]:
    benchmark = measurement.benchmark
    scores = benchmark.counts(architecture, measurement.options)
    if scorer is not None:
        with contextlib.suppress(proxies.ProxyError):  # no score is defined
            scores |= scorer(FixedTrial(benchmark.parameters_of(architecture)))
    return {name: scores[name] for name in measurement.proxies if name in scores}


def measure(measurement: Measurement, output: Path, *, jobs: int = 1) -> None:
    """Score all networks that the measurement chooses, and write them to ``output``.

    What is done is kept beside ``output`` until everything is, so the same call goes on where an
    earlier one ended.

    Args:
        measurement: What is measured.
        output: An ``.npz`` file, as :meth:`Benchmark.load_scores` reads it.
        jobs: Processes, one torch thread each.

    Raises:
        BenchmarkError: If images cannot be read or files not be written.
    """
    if output.exists():
        raise BenchmarkError(f"{output} is there already; remove it, or name another --output")
    # Processes that were there before may work in another folder.
    output = output.absolute()
    if measurement.images is not None:
        images = str(Path(measurement.images).absolute())
        measurement = dataclasses.replace(measurement, images=images)
        measurement.scorer()  # images that cannot be read are found before any process starts
    about = measurement.about()
    identity = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
    folder = make_folder(output.with_name(f"{output.name}.{identity}.parts"))
    indices = measurement.indices()
    pieces = [indices[start : start + _PIECE] for start in range(0, len(indices), _PIECE)]
    files = [folder / f"{number:05}.npz" for number in range(len(pieces))]
    left = [(p, f) for p, f in zip(pieces, files, strict=True) if not f.exists()]
    run_tasks(
        _measure_piece,
        [(measurement, piece, file) for piece, file in left],
        jobs=jobs,
        sizes=[len(piece) for piece, _ in left],
        done=len(indices) - sum(len(piece) for piece, _ in left),
        label="scoring",
        unit="network",
    )
    columns: dict[str, list[npt.NDArray[Any]]] = {}
    for file in files:
        with open_arrays(file) as piece:
            for name in piece:
                columns.setdefault(name, []).append(piece[name])
    whole = {name: np.concatenate(parts) for name, parts in columns.items()}
    whole["index"] = np.array(indices, dtype=np.int32)
    about |= {
        "command": measurement.command(),
        "directions": {name: proxies.describe(name).direction for name in measurement.proxies},
        # Where no network was built, there is no reason to build one now.
        "training_pass_seconds": measure_training_pass(repeats=1) if measurement.builds else None,
    }
    whole["about"] = np.array(json.dumps(about))

    def write(file: Any) -> None:
        np.savez_compressed(file, allow_pickle=False, **whole)

    write_whole(output, write, mode="wb")
    shutil.rmtree(folder)


def _measure_piece(measurement: Measurement, indices: Sequence[int], file: Path) -> None:
    columns = measure_networks(measurement, indices)
    write_whole(file, lambda handle: np.savez(handle, allow_pickle=False, **columns), mode="wb")
