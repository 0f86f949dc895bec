"""What a model says of the layer that it was made of."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError

import exactnorm
from exactnorm._normalization import Normalization
from exactnorm._scale import Scale


def metadata_key(input_name: str) -> str:
    """Return the key under which a model keeps what it knows of the layer at this input."""
    return f"exactnorm:{input_name}"


def metadata_of(layer: Normalization, scale: Scale) -> str:
    """Return what the graph does not show, as JSON."""
    try:
        version = exactnorm.__version__
    except PackageNotFoundError:  # frozen applications carry no metadata
        version = "unknown"
    config = layer.get_config()
    learned = config.pop("mean") is None
    del config["variance"]
    about = {
        "version": version,
        "config": config,
        "names": layer.names,
        "digest": layer.moments.digest if learned else None,
        "variance": [repr(float(v)) for v in scale.variance.ravel()],  # not rounded again
    }
    return json.dumps(about, ensure_ascii=False)
