"""`python -m llamaduo.cost`."""

from llamaduo.cost.command import main

if __name__ == "__main__":
    main()
