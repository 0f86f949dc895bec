"""What the layers for Keras 3 and for tf_keras have in common; neither framework is imported here."""
