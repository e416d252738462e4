"""What all estimators in scikit-learn's shape share."""
