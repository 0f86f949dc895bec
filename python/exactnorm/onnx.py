"""Normalizations as ONNX graphs, and back.

`to_onnx` makes a model of a layer, `embed` puts a layer in front of an input of a model that is there, and
`from_onnx` reads a layer from a model. ONNX Runtime computes what the layer computes, to the last bit.
"""

from exactnorm._extras import needs

with needs("onnx", "exactnorm.onnx"):
    from exactnorm._onnx.read import from_onnx
    from exactnorm._onnx.write import embed, to_onnx

__all__ = ["embed", "from_onnx", "to_onnx"]
