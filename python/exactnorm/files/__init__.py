"""Files of any size into states, and through layers into files. Needs pyarrow."""

from exactnorm.files._adapt import adapt
from exactnorm.files._learning import Progress
from exactnorm.files._writing import replacing

__all__ = ["Progress", "adapt", "replacing"]
