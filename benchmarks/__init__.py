"""Speed and quality side by side with other tools, measured in one process.

Never a test: it could fail on a slow day.
"""
