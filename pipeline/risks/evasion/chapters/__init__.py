"""The chapters of evasion, a module each; all take a `View`, and draw into a folder."""
