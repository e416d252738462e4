"""The estimators of Gaussian mixtures, and the methods that only Gaussian mixtures have."""
