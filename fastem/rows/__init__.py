"""Whatever holds rows, as blocks whose sums add.

For authors of models and of data sources: the sums that an E-step returns, the blocks that it is given, and the E-step
of a model that can use threads. Everything else in this room may change.
"""

from fastem.rows.blocks import ArrayBlocks, Blocks, StreamBlocks
from fastem.rows.e_step import BlockModel
from fastem.rows.statistics import Statistics

__all__ = ["ArrayBlocks", "BlockModel", "Blocks", "Statistics", "StreamBlocks"]
