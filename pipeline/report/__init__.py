"""What people read: tables, one page, and a short summary on the terminal."""
