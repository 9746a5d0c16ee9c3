"""How a clinical model breaks, which defence helps, what it costs, and how sure the answer is."""
