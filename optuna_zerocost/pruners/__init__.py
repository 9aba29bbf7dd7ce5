"""Pruners that put scores of untrained networks to work in Optuna."""

from optuna_zerocost.pruners._zerocost_pruner import ZeroCostPruner

__all__ = ["ZeroCostPruner"]
