"""Speed and quality side by side with other tools, measured in one process; never a test that can fail on a slow day."""
