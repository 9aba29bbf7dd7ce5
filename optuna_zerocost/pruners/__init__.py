"""Pruners that put scores of untrained networks to work in Optuna."""

from optuna_zerocost.pruners._zerocost import ZeroCostPruner

__all__ = ["ZeroCostPruner"]
