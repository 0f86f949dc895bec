"""Where Keras 2.7 had its preprocessing layers."""

from exactnorm.keras import Normalization

__all__ = ["Normalization"]
