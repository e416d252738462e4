"""EM on rows that come in parts: incremental EM on blocks, and stepwise EM on streams."""

from fastem.driver.partial_steps import Stepwise, incremental_em

__all__ = ["Stepwise", "incremental_em"]
