"""What many fits of the same rows tell: which model, and how certain it is."""
