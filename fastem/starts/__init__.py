"""Where EM begins, how often, and which result is kept."""
