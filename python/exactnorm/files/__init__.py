"""Files of any size into states, and through states into files. Needs pyarrow."""

from exactnorm.files._adapt import adapt
from exactnorm.files._apply import apply
from exactnorm.files._learning import Progress
from exactnorm.files._replacing import replacing

__all__ = ["Progress", "adapt", "apply", "replacing"]
