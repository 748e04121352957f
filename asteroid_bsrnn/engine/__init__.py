"""Training with Lightning: configuration, system, trainer, callbacks, checkpoints."""
