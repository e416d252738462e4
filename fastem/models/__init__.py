"""Frozen parameters with an `e_step` and an `m_step`."""
