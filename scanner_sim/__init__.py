"""The simulated scanner: anatomy, freezing physics, CT image formation, C-STORE push."""
