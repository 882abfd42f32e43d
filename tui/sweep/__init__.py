"""A sweep on the screen: its trials, the best so far, what matters, and two plots of them."""
