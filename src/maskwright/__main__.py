"""`python -m maskwright`, which accelerate launch and torchrun need."""

from maskwright.cli.app import main

if __name__ == "__main__":
    main()
