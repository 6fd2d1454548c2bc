"""The scenario `cache`."""
