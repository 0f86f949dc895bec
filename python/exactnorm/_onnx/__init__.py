"""What `exactnorm.onnx` is made of."""
