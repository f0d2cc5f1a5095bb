"""`python -m llamaduo.doctor`."""

from llamaduo.doctor.command import main

if __name__ == "__main__":
    main()
