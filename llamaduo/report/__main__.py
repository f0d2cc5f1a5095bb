"""`python -m llamaduo.report`."""

from llamaduo.report.command import main

if __name__ == "__main__":
    main()
