"""The estimators of Gaussian mixtures, and what only a fitted Gaussian mixture is for."""
