"""Numbers, tables and pictures as people see them."""
