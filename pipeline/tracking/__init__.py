"""MLflow's view of the results: the only room that imports MLflow, beside the served model."""
