"""Learning by gradient descent in PyTorch, which is used here alone: one trainer, and the networks that it trains."""
