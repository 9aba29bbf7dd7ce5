"""A benchmark, as experiments see it: a search space of which the trained networks are known.

Experiments know a benchmark by :class:`Benchmark` alone, so that each is written once.
"""

from __future__ import annotations

import abc
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerocost_bench.failure import BenchmarkError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zerocost_bench.accuracies import Accuracies, Array
    from zerocost_bench.score_table import MeasuredScores, ScoreTable

__all__ = ["BENCHMARKS", "Architecture", "Benchmark", "benchmark_named"]

Architecture = tuple[Any, ...]

BENCHMARKS = {"nasbench201": "zerocost_bench.nasbench201"}
"""Name → the package that has it as ``BENCHMARK``."""


def benchmark_named(name: str) -> Benchmark:
    """Return a benchmark by its name in :data:`BENCHMARKS`."""
    benchmark: Benchmark = importlib.import_module(BENCHMARKS[name]).BENCHMARK
    return benchmark


class Benchmark(abc.ABC):
    """A search space, its networks, and what is known of them.

    Whatever has one entry for each architecture has them in the order of :meth:`architectures`.

    Attributes:
        name: Its key in :data:`BENCHMARKS`.
        title: What people call it.
        datasets: The data sets on which the networks were trained, the one that an experiment
            takes if it takes one first.
        input_shape: Of one sample, as the networks read it.
        options: What :meth:`build_model` can do otherwise: name → what it means.
        trained_with: Of these, what the networks were trained with.
        stand_ins: Cost that :meth:`load_costs` knows → what of :meth:`counts` stands in for it.
        encode: Parameters of a trial → adjacency and features of a graph, for a sampler that
            learns from graphs; ``None`` for a space that has no such form.
    """

    name: str
    title: str
    datasets: tuple[str, ...]
    input_shape: tuple[int, ...]
    options: Mapping[str, str] = {}
    trained_with: Sequence[str] = ()
    stand_ins: Mapping[str, str] = {}
    encode: Callable[[Mapping[str, Any]], tuple[Any, Any]] | None = None

    def __reduce__(self) -> tuple[Callable[[str], Benchmark], tuple[str]]:
        """Be the same object in every process."""
        return benchmark_named, (self.name,)

    def __repr__(self) -> str:
        return self.title

    @abc.abstractmethod
    def architectures(self) -> Sequence[Architecture]:
        """Return every architecture that the tables have."""

    @abc.abstractmethod
    def index(self, architecture: Architecture) -> int:
        """Return the place of an architecture in :meth:`architectures`."""

    @abc.abstractmethod
    def suggest(self, trial: Any) -> Architecture:
        """Ask ``trial`` for an architecture."""

    @abc.abstractmethod
    def parameters_of(self, architecture: Architecture) -> dict[str, Any]:
        """Return the parameters of a trial that suggests an architecture."""

    @abc.abstractmethod
    def text_of(self, architecture: Architecture) -> str:
        """Return an architecture as the benchmark itself writes it."""

    @abc.abstractmethod
    def build_model(self, trial: Any, options: Sequence[str] = ()) -> nn.Module:
        """Make the untrained network of the architecture that ``trial`` suggests.

        Args:
            trial: Asked for the architecture.
            options: Names in :attr:`options`.
        """

    @abc.abstractmethod
    def classes_of(self, dataset: str) -> int:
        """Return the number of classes of a data set."""

    @abc.abstractmethod
    def counts(self, architecture: Architecture, options: Sequence[str] = ()) -> dict[str, float]:
        """Return what is known of an untrained network without building it.

        ``params`` at least; what a proxy is named after is that proxy's score.
        """

    @abc.abstractmethod
    def read_batch(self, file: Path, count: int) -> tuple[Tensor, Tensor]:
        """Read samples and labels as the networks were trained on.

        Raises:
            BenchmarkError: If the file cannot be read or has too few.
        """

    @abc.abstractmethod
    def load_accuracies(self, dataset: str, file: str | Path | None = None) -> Accuracies:
        """Load the accuracies of all architectures on a data set.

        Args:
            dataset: One of :attr:`datasets`.
            file: Has accuracies that do not come with a package.

        Raises:
            BenchmarkError: If they are not there.
        """

    def load_costs(self, dataset: str) -> Mapping[str, Array]:
        """Load what else is known of the trained networks, lower is better; nothing by default."""
        return {}

    @abc.abstractmethod
    def load_scores(
        self, file: str | Path | None = None, *, batch_size: int = 64
    ) -> MeasuredScores:
        """Load scores of the untrained networks.

        Args:
            file: What ``zerocost-bench scores`` wrote. Default: the scores that come with this
                package.
            batch_size: Of those that come with the package and read samples, take those that were
                measured with so many.

        Raises:
            ValueError: If they are not there.
        """

    def score_table(
        self, proxies: Sequence[str] = ("synflow",), *, scores: MeasuredScores | None = None
    ) -> ScoreTable:
        """Return a scorer that looks scores up, by default those of :meth:`load_scores`."""
        from zerocost_bench.score_table import ScoreTable

        return ScoreTable(self, proxies, self.load_scores() if scores is None else scores)

    def check_dataset(self, dataset: str) -> None:
        """Raise BenchmarkError unless the networks were trained on ``dataset``."""
        if dataset not in self.datasets:
            raise BenchmarkError(
                f"the data set {dataset!r} is none of {', '.join(self.datasets)}, on which the "
                f"networks of {self.title} were trained"
            )
