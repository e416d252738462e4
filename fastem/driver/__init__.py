"""EM itself: it knows `e_step` and `m_step`, and nothing else.

For authors of models: what the driver asks of a model, and what it returns. `fastem.em` is the driver.
"""

from fastem.driver.model import Model
from fastem.driver.result import EMResult

__all__ = ["EMResult", "Model"]
