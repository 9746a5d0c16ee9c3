"""From a stranger's file to a schema that a person signs: proposing it, asking, checking."""
