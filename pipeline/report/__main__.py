"""Prints the summary of the last evaluation again."""

from pipeline.report.write import main

if __name__ == "__main__":
    main()
