"""EM itself: it knows `e_step` and `m_step`, and nothing else."""
