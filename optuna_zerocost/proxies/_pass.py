"""Passes, the quantities they hand over, and how a proxy gets to see them.

A *pass* is one way to run a network: its state, its inputs, its derivatives. A *quantity* is one
thing a pass can hand over, such as the gradients of the weights. A *proxy* declares the quantities
it reads; the pass is run once for all proxies that read from it, and computes only those
quantities that some proxy declared. A new pass is a new subclass of `Pass` with quantities of
its own; nothing else has to know of it.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, cast

from torch import Tensor, nn

from optuna_zerocost.proxies._errors import (
    BatchError,
    LabelsError,
    OutputError,
    ProxyDefinitionError,
)
from optuna_zerocost.proxies._minibatch import Batch, call
from optuna_zerocost.proxies._preserve import Snapshot
from optuna_zerocost.proxies._structure import Structure

__all__ = ["Measured", "Pass", "Quantity", "Request"]

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """A pass's task: the network, the minibatch, and the quantities that are wanted.

    Attributes:
        structure: The network, whose state the caller restores after the pass, and its parts.
        batch: The minibatch, on the network's device; the first of several.
        readers: For each quantity that is wanted, the names of the proxies that read it.
        loss_fn: From the output and the labels to the mean loss of the minibatch, a scalar.
        forward_fn: From the network and the inputs to the output, or None to call the network.
        more_batches: The other minibatches, if several were given.
        state: The network's state where the pass began, or None if nobody restores it.
    """

    structure: Structure
    batch: Batch
    readers: Mapping[Quantity[Any], tuple[str, ...]]
    loss_fn: Callable[[Any, Any], Tensor]
    forward_fn: Callable[[nn.Module, Any], Tensor] | None
    more_batches: tuple[Batch, ...] = ()
    state: Snapshot | None = None

    @property
    def network(self) -> nn.Module:
        """The network."""
        return self.structure.network

    def rewind(self) -> None:
        """Put the network back to where the pass began, for a pass that begins again."""
        if self.state is not None:
            self.state.rewind()

    def wants(self, quantity: Quantity[Any]) -> bool:
        """Return whether some proxy reads ``quantity``."""
        return quantity in self.readers

    def who_reads(self, quantities: Iterable[Quantity[Any]]) -> str:
        """Return the proxies that read any of ``quantities``, for an error message."""
        readers = {name for key in quantities for name in self.readers.get(key, ())}
        return ", ".join(sorted(readers))

    def require_labels(self) -> None:
        """Raise LabelsError if a wanted quantity needs labels and the minibatch has none.

        A loss of the user's own is asked, for it may do without: see ``mean_loss``.
        """
        needing = [quantity for quantity in self.readers if quantity.needs_labels]
        is_default = self.loss_fn is nn.functional.cross_entropy
        if needing and self.batch.targets is None and is_default:
            raise self.no_labels(needing)

    def no_labels(self, quantities: Iterable[Quantity[Any]]) -> LabelsError:
        """Return the error that says that labels are missing."""
        return LabelsError(
            f"the batch has no labels, and {self.who_reads(quantities)} read the gradient of a "
            "loss; pass batch=(inputs, targets), or a loss_fn that does without, such as "
            "loss_fn=lambda output, _: output.square().mean(), or choose proxies that need no "
            "labels, such as synflow or jacob_cov"
        )

    def require_two_samples(self, quantities: Iterable[Quantity[Any]]) -> None:
        """Raise BatchError if there is one sample, and so none to compare it with."""
        if self.batch.size < 2:
            raise BatchError(
                "the batch has one sample, and samples are compared by "
                f"{self.who_reads(quantities)}; pass at least two"
            )

    def forward(self, inputs: Any) -> Tensor:
        """Run the network on ``inputs`` and return its output.

        Raises:
            OutputError: If the output is not a tensor of floating point numbers.
        """
        return self.logits(call(self.network, inputs, self.forward_fn))

    def logits(self, output: Any) -> Tensor:
        """Return what the network has put out, once it is sure to be one tensor of numbers."""
        if not isinstance(output, Tensor):
            culprit = "the network" if self.forward_fn is None else "forward_fn"
            raise OutputError(
                f"{culprit} returned a {type(output).__name__}, and a proxy reads one tensor of "
                "logits; choose it with forward_fn, for example "
                "forward_fn=lambda network, inputs: network(inputs)[0]. Proxies that read the "
                "gradient of a loss take whatever your loss_fn takes"
            )
        if output.is_complex():
            raise OutputError(
                f"the network returned a tensor of {output.dtype}, and a proxy reads real logits; "
                "return what is to be learned of it with forward_fn, such as its modulus"
            )
        if not output.is_floating_point():
            raise OutputError(
                f"the network returned a tensor of {output.dtype}, which has no gradient; "
                "return the logits, not the predicted classes"
            )
        return output

    def forward_in_train_mode(
        self, inputs: Any, *, samples: int, cure: str = "pass at least two samples"
    ) -> Tensor:
        """Do what `any_output_in_train_mode` does, for proxies that read one tensor of logits."""
        return self.logits(self.any_output_in_train_mode(inputs, samples=samples, cure=cure))

    def any_output_in_train_mode(
        self, inputs: Any, *, samples: int, cure: str = "pass at least two samples"
    ) -> Any:
        """Run the network so that BatchNorm normalises with the statistics of these samples.

        ``cure`` is what to do where there is one sample, and BatchNorm cannot normalise it.
        """
        self.structure.set_mode(training=True)
        try:
            return call(self.network, inputs, self.forward_fn)
        except ValueError as error:
            if samples == 1 and "more than 1 value per channel" in str(error):
                raise BatchError(
                    f"for {self.who_reads(self.readers)} the network sees one sample at a time, "
                    "and a BatchNorm layer sees one value a channel of it, which has no variance; "
                    f"{cure}"
                ) from error
            raise


@dataclass(frozen=True)
class Pass(abc.ABC):
    """One way to run a network. Passes have no state, so two of one class are equal."""

    #: Whether weights need values, which those on the meta device have not.
    reads_values: ClassVar[bool] = True
    #: Whether the memory that it takes grows with the minibatch.
    holds_whole_batch: ClassVar[bool] = True
    #: Whether a forward may write into the parameters that it is given, and so needs copies; not
    #: if the pass itself replaces them or runs no forward.
    copies_parameters: ClassVar[bool] = True
    #: Whether the pass replaces the values of all tensors of floating point that the network
    #: holds before it runs anything of it, so that buffers need no copies either.
    replaces_values: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The pass's name in messages."""

    @abc.abstractmethod
    def run(self, request: Request) -> Measured:
        """Run the network and return every quantity of ``request.readers``.

        It is called with gradients enabled and seeded random states. It may change the network's
        modes, flags, buffers, attributes and ``parameter.data``, all of which the caller restores.
        """


@dataclass(frozen=True)
class Quantity(Generic[T]):
    """One thing that a pass hands over; ``T`` is its type.

    Attributes:
        name: Its name in messages.
        source: The pass that computes it.
        summary: What it is, with shapes.
        needs_labels: Whether it depends on the minibatch's labels.
        needs_second_derivatives: Whether it is computed by differentiating twice.
        needs_weights: Whether it depends on which parameters count as weights.
    """

    name: str
    source: Pass
    summary: str
    needs_labels: bool = False
    needs_second_derivatives: bool = False
    needs_weights: bool = True


class Measured:
    """The quantities that a pass measured; ``measured[quantity]`` gives one.

    The tensors are views of the network's own and are there to be read, not written.
    """

    def __init__(self, values: Mapping[Quantity[Any], object]) -> None:
        self._values = dict(values)

    def __getitem__(self, quantity: Quantity[T]) -> T:
        """Return one quantity.

        Raises:
            ProxyDefinitionError: If the proxy did not declare that it reads this quantity.
        """
        if quantity not in self._values:
            declared = ", ".join(repr(key.name) for key in self._values) or "nothing"
            raise ProxyDefinitionError(
                f"{quantity.name!r} was not measured, because the proxy declares to read "
                f"{declared}; add it to reads=(...) where the proxy is registered"
            )
        return cast(T, self._values[quantity])

    def restricted_to(self, quantities: Iterable[Quantity[Any]]) -> Measured:
        """Return the part that a proxy declared, so that no value depends on another proxy's."""
        return Measured({quantity: self._values[quantity] for quantity in quantities})
