"""Examples of the recipes in docs/architecture.md: one module for each, and a test that runs them."""
