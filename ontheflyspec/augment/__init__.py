"""Random steps."""
