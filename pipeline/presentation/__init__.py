"""Numbers, tables and pictures as people see them."""

# Of the names of all columns and metrics, and of what they mean: figures of two versions are not
# compared. docs/names.md says what each version changed.
SCHEMA_VERSION = 2
