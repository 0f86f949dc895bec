"""The parts of exactnorm.dask."""
