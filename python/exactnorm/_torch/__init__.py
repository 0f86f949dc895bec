"""The parts of exactnorm.torch."""
