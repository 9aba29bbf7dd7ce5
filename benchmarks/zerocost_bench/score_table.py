"""Scores of a benchmark's networks that were measured before, and a scorer over them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zerocost_bench.benchmark import Benchmark
from zerocost_bench.files import UNREADABLE, open_arrays

__all__ = ["MeasuredScores", "ScoreTable", "load_scores"]


# What is in a file besides scores.
_INDEX, _ABOUT, _SECONDS = "index", "about", "seconds"


class MeasuredScores(Mapping[str, npt.NDArray[np.float64]]):
    """Proxy → scores of all of a benchmark's architectures, in its order.

    A score is NaN where it was not measured, or is undefined for the network.

    Args:
        files: What ``zerocost-bench scores`` wrote.
        networks: How many architectures the benchmark has.

    Attributes:
        about: Proxy → how it was measured: ``settings`` (those of
            ``zerocost-bench scores``), versions, and ``command``.
        measured: Proxy → of which architectures it was measured, bool.
        directions: Proxy → ``"maximize"`` or ``"minimize"``.
        seconds: Proxy → mean seconds of the processor for building a network and scoring it with
            all the proxies that were measured together with this one.
    """

    def __init__(self, files: Sequence[Path], networks: int) -> None:
        self._networks = networks
        self._values: dict[str, npt.NDArray[np.float64]] = {}
        self.about: dict[str, dict[str, Any]] = {}
        self.measured: dict[str, npt.NDArray[np.bool_]] = {}
        self.directions: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        for file in files:
            self._add(file)

    def _add(self, file: Path) -> None:
        with open_arrays(file) as data:
            about = json.loads(str(data[_ABOUT]))
            index = data[_INDEX]
            for name in about["settings"]["proxies"]:
                if name in self._values:
                    raise ValueError(f"{name!r} is in two of the files; name one file alone.")
                self._values[name] = np.full(self._networks, np.nan)
                self._values[name][index] = data[name]
                self._values[name].flags.writeable = False
                self.measured[name] = np.zeros(self._networks, dtype=bool)
                self.measured[name][index] = True
                self.about[name] = about
                self.directions[name] = about["directions"][name]
                self.seconds[name] = float(data[_SECONDS].mean())

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _batch_size_of(file: Path) -> int | None:
    """Return the number of images that a file's scores were measured with; None for no images."""
    with open_arrays(file) as data:
        settings = json.loads(str(data[_ABOUT]))["settings"]
    return int(settings["batch_size"]) if settings["images"] is not None else None


def load_scores(
    benchmark: Benchmark, folder: Path, file: str | Path | None = None, *, batch_size: int = 64
) -> MeasuredScores:
    """Load scores as :meth:`Benchmark.load_scores` does.

    Args:
        benchmark: Whose networks were scored.
        folder: Where the files are that come with the package.
        file: One to read in place of these.
        batch_size: Of the files in the folder that read samples, take those measured with so many.

    Raises:
        ValueError: If the file holds no scores, or none come with the package for ``batch_size``.
    """
    networks = len(benchmark.architectures())
    if file is not None:
        try:
            return MeasuredScores([Path(file)], networks)
        except UNREADABLE as error:
            raise ValueError(
                f"{file} cannot be read as scores ({error}). It must be a file that "
                f"'zerocost-bench scores' wrote for {benchmark.title}."
            ) from error
    sizes = {path: _batch_size_of(path) for path in sorted(folder.glob("*.npz"))}
    if batch_size not in sizes.values():
        known = sorted({size for size in sizes.values() if size is not None})
        raise ValueError(
            f"batch_size is {batch_size}, but scores come with the package for {known} images. "
            "Take one of these, or measure your own with 'zerocost-bench scores'."
        )
    chosen = [path for path, size in sizes.items() if size in (None, batch_size)]
    return MeasuredScores(chosen, networks)


class ScoreTable:
    """A scorer that looks scores up, so that a search is replayed in seconds.

    It gives what a :class:`~optuna_zerocost.ModelScorer` over the benchmark's ``build_model``
    would, with the settings that the scores were measured with, and ``on_undefined="omit"``.

    Args:
        benchmark: Suggests architectures.
        proxies: The scores that it returns.
        scores: Where they are looked up.

    Raises:
        ValueError: If there are no such scores, or they are not there for all networks.
    """

    def __init__(
        self, benchmark: Benchmark, proxies: Sequence[str], scores: MeasuredScores
    ) -> None:
        if isinstance(proxies, str):
            proxies = (proxies,)
        if not proxies or len(set(proxies)) < len(proxies) or not set(proxies) <= set(scores):
            raise ValueError(
                f"proxies is {tuple(proxies)!r}, but it must name at least one of "
                f"{sorted(scores)}, each once."
            )
        for name in proxies:
            measured = scores.measured[name]
            if not measured.all():
                whole = sorted(n for n in scores if scores.measured[n].all())
                raise ValueError(
                    f"{name!r} was measured for {measured.sum()} of the {len(measured)} networks, "
                    f"but a search may ask for any of them. For all of them there are {whole}."
                )
        self._benchmark = benchmark
        self.score_names: tuple[str, ...] = tuple(proxies)
        self.score_directions = {name: scores.directions[name] for name in proxies}
        self._columns = {name: scores[name] for name in proxies}
        digest = hashlib.sha256()
        for name, column in self._columns.items():
            digest.update(name.encode() + column.tobytes())
        self._fingerprint = digest.hexdigest()

    def __repr__(self) -> str:
        return f"ScoreTable({list(self.score_names)})"

    @property
    def fingerprint(self) -> str:
        """Changes when the scores would."""
        return self._fingerprint

    def __call__(self, trial: Any, /) -> dict[str, float]:
        """Return the scores of the architecture that ``trial`` suggests.

        Raises:
            ValueError: If none is defined for it.
        """
        architecture = self._benchmark.suggest(trial)
        index = self._benchmark.index(architecture)
        found = {name: float(column[index]) for name, column in self._columns.items()}
        defined = {name: value for name, value in found.items() if value == value}  # not NaN
        if not defined:
            raise ValueError(
                f"{', '.join(self.score_names)}: undefined for "
                f"{self._benchmark.text_of(architecture)}."
            )
        return defined
