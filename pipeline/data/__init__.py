"""Records in clinical units: schema, reading files, threat models, and who trains on whom."""
