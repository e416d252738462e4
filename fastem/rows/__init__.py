"""Whatever holds rows, as blocks whose sums add."""
