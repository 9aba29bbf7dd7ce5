"""The decision to build first on the meta device, where weights have shapes and no values."""

from __future__ import annotations

from torch import nn

__all__ = ["MetaDevice", "is_small"]

# Networks up to this size are built both ways to compare.
_SMALL_BYTES = 64e6

# The second architecture that is built both ways decides: the first warms both up.
_COMPARISONS = 2


class MetaDevice:
    """Finds out whether a builder works on the meta device, and whether that saves time.

    A draw that is outside of the limits, or was met before, needs no weights. Sketching every
    draw on the meta device costs ``r`` times a real building, and saves the real one for a share
    ``u`` of draws: it pays where r < u. Both are measured as the builder is used. A sketch must
    have the same parameters and buffers, by name, shape and type, as the real network; where it
    has not, or the builder raises on the meta device only, the builder is never tried again.
    Once a network was large, it pays in any case: it saves memory. Where no limit reads shapes, a
    builder is not tried unless that is ``wanted``. ``False`` never tries.
    """

    def __init__(self, wanted: bool | None, *, reads_shapes: bool) -> None:
        self._wanted = wanted
        self.reads_shapes = reads_shapes
        self.is_refused = wanted is False
        self._comparisons = 0
        self._ratio = 0.0
        self._draws = 0
        self._spared = 0
        self._saw_large = False

    @property
    def is_settled(self) -> bool:
        """True if it is known by now whether sketches are right and how fast they are."""
        return self.is_refused or self._comparisons >= _COMPARISONS

    def pays(self) -> bool:
        """Return whether the next network is to be built on the meta device first."""
        if self.is_refused or not (self._wanted or self.reads_shapes):
            return False
        if self._wanted or self._saw_large or not self.is_settled:
            return True
        # As if two more draws had been made, of which one was spared.
        return self._ratio < (self._spared + 1) / (self._draws + 2)

    def compare(
        self, sketch: nn.Module, network: nn.Module, *, sketch_seconds: float, seconds: float
    ) -> None:
        """Learn from an architecture that was built both ways."""
        if _shapes(sketch) != _shapes(network):
            self.is_refused = True
        self._comparisons += 1
        self._ratio = sketch_seconds / max(seconds, 1e-9)

    def saw(self, network: nn.Module) -> None:
        """Learn how large networks may be, from one with weights or without."""
        self._saw_large = self._saw_large or not is_small(network)

    def drawn(self, *, needs_weights: bool) -> None:
        """Learn whether a draw needed weights."""
        self._draws += 1
        self._spared += not needs_weights


def is_small(network: nn.Module) -> bool:
    """Return whether a network takes up no memory to speak of."""
    sizes = (t.numel() * t.element_size() for t in (*network.parameters(), *network.buffers()))
    return sum(sizes) <= _SMALL_BYTES


def _shapes(network: nn.Module) -> list[tuple[str, tuple[int, ...], str]]:
    tensors = (*network.named_parameters(), *network.named_buffers())
    return [(name, tuple(tensor.shape), str(tensor.dtype)) for name, tensor in tensors]
