"""What only Gaussian densities have: structures of covariances, priors, noise, missing values, factors."""
