"""How a clinical model breaks, which defense helps, what it costs, and how sure the answer is."""
