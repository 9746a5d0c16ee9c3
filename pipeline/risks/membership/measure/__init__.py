"""Shadow models of a recipe, and the audit of what it claims."""
