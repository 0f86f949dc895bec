"""Normalizations for wherever they are served: a C header, SQL, JSON, a Keras model.

`exactnorm.onnx.to_onnx` makes an ONNX graph. On the command line all of them are ``exactnorm export``.
"""

from exactnorm.export._c import to_c
from exactnorm.export._json import to_json
from exactnorm.export._keras import to_keras
from exactnorm.export._sql import to_sql

__all__ = ["to_c", "to_json", "to_keras", "to_sql"]
