"""The line in an objective that says which network is to be scored."""

from __future__ import annotations

from typing import Any

from optuna.trial import BaseTrial

from optuna_zerocost import _compat
from optuna_zerocost.records import TRAINED
from optuna_zerocost.scoring._network_run import run_of

__all__ = ["report_network"]

# What is put around a network to run it, and where it is inside: parallel, compiled, of Fabric.
_WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
    "_FabricModule": "_original_module",
}


def report_network(trial: Any, network: Any) -> None:
    """Say that ``network``, still untrained, is what ``trial`` is about to train.

    The line belongs right after the network is made. With
    :meth:`ModelScorer.from_objective <optuna_zerocost.ModelScorer.from_objective>` an objective is
    run for each candidate up to this line, and ends there. What it asks ``trial`` for before the
    line is the architecture; what it asks for afterwards are the other hyperparameters. So what
    need not be done for each candidate belongs below: loading data, moving the network to a
    device, starting a tracker's run.

    In a trial that is trained the line only notes what the network is like, so that one that is
    not the one that was scored is noticed. With a trial of another kind (``FixedTrial``,
    ``FrozenTrial``, ``None``) it does nothing. The first network counts, if there are several.

    Args:
        trial: What the objective was given, or ``TorchDistributedTrial`` around it.
        network: The untrained network, a ``torch.nn.Module``. What it is wrapped in to run in
            parallel or compiled is taken off.

    Raises:
        TypeError: If ``network`` is no ``torch.nn.Module``.
    """
    from torch import nn

    if not isinstance(network, nn.Module):
        is_swapped = isinstance(trial, nn.Module)
        raise TypeError(
            f"report_network was given a network of type {type(network).__name__}, but it must be "
            "the untrained torch.nn.Module that is to be scored. "
            + (
                "Write report_network(trial, network): the trial comes first."
                if is_swapped
                else "Of a library's estimator, pass the module inside, such as "
                "net.initialize().module_ with skorch."
            )
        )
    trial, network = _unwrapped_trial(trial), _unwrapped(network)
    if (run := run_of(trial)) is not None:
        run.take(network)
    if _compat.is_trial(trial):
        _note(trial, network)


def _note(trial: Any, network: Any) -> None:
    from optuna_zerocost.scoring._signature import outline_of

    storage, trial_id = trial.storage, trial._trial_id
    stored = storage.get_trial(trial_id)
    if TRAINED in stored.system_attrs or stored.state.is_finished():
        return
    if (outline := outline_of(network)) is not None:
        storage.set_trial_system_attr(trial_id, TRAINED, outline)


def _unwrapped_trial(trial: Any) -> Any:
    # That of distributed training; only the first process has a trial inside.
    while isinstance(trial, BaseTrial) and vars(trial).get("_delegate") is not None:
        trial = vars(trial)["_delegate"]
    return trial


def _unwrapped(network: Any) -> Any:
    while (place := _WRAPPERS.get(type(network).__name__)) is not None:
        inner = getattr(network, place, None)
        if inner is None:
            break
        network = inner
    return network
