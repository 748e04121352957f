"""Training: the system, what happens beside it, and what a run writes down about itself."""
