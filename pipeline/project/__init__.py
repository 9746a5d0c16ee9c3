"""A project: a folder with a cohort, its own `conf/` and the stages of the installed package."""
