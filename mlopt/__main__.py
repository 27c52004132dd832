"""``python -m mlopt`` is the ``mlopt`` command."""

from mlopt.cli.app import main

if __name__ == "__main__":
    main()
