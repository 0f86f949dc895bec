"""Where Keras 2.7 had its preprocessing layers."""

from exactnorm.keras.experimental import preprocessing

__all__ = ["preprocessing"]
