"""Zero-cost proxies: from an untrained network and a minibatch to numbers.

`score_network` computes them, `names` and `describe` list them, `register` adds your own; `Batch`
says what the inputs are where a pair of inputs and targets does not. A proxy
reads *quantities* (the constants in capitals) that a *pass* over the network hands over.

`Structure`, `SeededRandomState`, `call`, `is_out_of_memory` and `preserved` serve the
other folders of this package, which run networks too. They may change without notice.
"""

# Importing a family registers its proxies; those of which nothing else is public come first.
from optuna_zerocost.proxies import (  # noqa: F401
    _activation_patterns,
    _epe_nas,
    _feature_maps,
    _fisher,
    _jacob_cov,
    _saliency,
)
from optuna_zerocost.proxies._az_nas import STAGE_FEATURES, STAGE_GAINS, StageFeatures
from optuna_zerocost.proxies._capacity import FLOP_COUNT, LAYER_WEIGHTS, PARAMETER_COUNT
from optuna_zerocost.proxies._coverage import Coverage, CoverageWarning, Scores
from optuna_zerocost.proxies._derivatives import WeightGradient
from optuna_zerocost.proxies._errors import (
    BatchError,
    LabelsError,
    NetworkError,
    OutOfMemoryError,
    OutputError,
    PassError,
    ProxyDefinitionError,
    ProxyError,
    ProxyFunctionError,
    SecondDerivativeError,
    UndefinedScoreError,
    UnknownProxyError,
)
from optuna_zerocost.proxies._failures import is_out_of_memory
from optuna_zerocost.proxies._flow_pass import (
    FLOW_GRADIENTS,
    SCALED_FLOW_GRADIENTS,
    ScaledGradients,
)
from optuna_zerocost.proxies._gradient_agreement import GRADIENT_SIGNS, MINIBATCH_GRADIENTS
from optuna_zerocost.proxies._loss_pass import (
    ACTIVATION_AGREEMENT,
    CLASSES,
    FEATURE_MAPS,
    GRADIENT_PRODUCTS,
    INPUT_GRADIENTS,
    LAYER_OUTPUTS,
    WEIGHT_GRADIENTS,
    WEIGHTED_GRADIENT_PRODUCT,
)
from optuna_zerocost.proxies._minibatch import Batch, Minibatches, call
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._preserve import preserved
from optuna_zerocost.proxies._random import SeededRandomState
from optuna_zerocost.proxies._recorded_forward import LayerOutput
from optuna_zerocost.proxies._registry import Direction, Proxy, describe, names, register
from optuna_zerocost.proxies._score_network import score_network
from optuna_zerocost.proxies._structure import Structure
from optuna_zerocost.proxies._swap import NEURON_PATTERNS, NeuronPatterns, reg_swap
from optuna_zerocost.proxies._te_nas import REGION_AGREEMENT, TANGENT_KERNEL
from optuna_zerocost.proxies._zen import FEATURE_CHANGE, RUNNING_VARIANCES
from optuna_zerocost.proxies._zeros import ConstantScoreWarning

__all__ = [
    "ACTIVATION_AGREEMENT",
    "CLASSES",
    "FEATURE_CHANGE",
    "FEATURE_MAPS",
    "FLOP_COUNT",
    "FLOW_GRADIENTS",
    "GRADIENT_PRODUCTS",
    "GRADIENT_SIGNS",
    "INPUT_GRADIENTS",
    "LAYER_OUTPUTS",
    "LAYER_WEIGHTS",
    "MINIBATCH_GRADIENTS",
    "NEURON_PATTERNS",
    "PARAMETER_COUNT",
    "REGION_AGREEMENT",
    "RUNNING_VARIANCES",
    "SCALED_FLOW_GRADIENTS",
    "STAGE_FEATURES",
    "STAGE_GAINS",
    "TANGENT_KERNEL",
    "WEIGHTED_GRADIENT_PRODUCT",
    "WEIGHT_GRADIENTS",
    "Batch",
    "BatchError",
    "ConstantScoreWarning",
    "Coverage",
    "CoverageWarning",
    "Direction",
    "LabelsError",
    "LayerOutput",
    "Measured",
    "Minibatches",
    "NetworkError",
    "NeuronPatterns",
    "OutOfMemoryError",
    "OutputError",
    "Pass",
    "PassError",
    "Proxy",
    "ProxyDefinitionError",
    "ProxyError",
    "ProxyFunctionError",
    "Quantity",
    "Request",
    "ScaledGradients",
    "Scores",
    "SecondDerivativeError",
    "SeededRandomState",
    "StageFeatures",
    "Structure",
    "UndefinedScoreError",
    "UnknownProxyError",
    "WeightGradient",
    "call",
    "describe",
    "is_out_of_memory",
    "names",
    "preserved",
    "reg_swap",
    "register",
    "score_network",
]
