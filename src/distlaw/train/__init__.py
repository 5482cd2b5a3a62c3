"""Training and distilling for real: data, model, losses, loop, evaluation."""
