"""What is measured: how right the figures are, and how soon they are there."""
